package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kedge-io/kedge/agent/enroll"
	"github.com/kedge-io/kedge/agent/preflight"
	"github.com/kedge-io/kedge/agent/runtime/bundle"
	"github.com/kedge-io/kedge/internal/clusternet"
	"github.com/kedge-io/kedge/internal/config"
	"github.com/kedge-io/kedge/internal/health"
	"github.com/kedge-io/kedge/internal/hostaddr"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/tunnel/view"
)

// subject is the daemon that a check or a bundle is about, running or not.
type subject struct {
	role     string
	layout   paths.Layout
	flags    *pflag.FlagSet
	resolved *config.Resolved
	config   preflight.Config
	// report is that of the daemon if it runs, down why there is none.
	report health.Report
	down   error
}

func newSubject(ctx context.Context, daemon *cobra.Command, resolved *config.Resolved) (*subject, error) {
	s := &subject{role: daemon.Name(), flags: daemon.Flags(), resolved: resolved}
	dir := s.text("data-dir")
	if !filepath.IsAbs(dir) {
		return nil, valueError("data-dir", dir, "an absolute path")
	}
	s.layout = paths.New(dir)
	s.report, s.down = health.Fetch(ctx, s.layout.StatusSocket())
	s.config = preflight.Config{
		Server: s.role == "server", Node: s.role == "agent" || !s.flag("disable-agent"), Layout: s.layout,
		ResolvConf: s.text("resolv-conf"), CgroupRoot: s.text("cgroup-root"), Built: built(),
		Proxy: http.ProxyFromEnvironment, Running: s.down == nil, Needs: firstStart,
	}
	if err := s.host(); err != nil {
		return nil, err
	}
	if s.config.Server {
		return s, s.server()
	}
	return s, s.agent(ctx)
}

// text and flag are options of the daemon; those that the role lacks are empty.
func (s *subject) text(name string) string {
	if f := s.flags.Lookup(name); f != nil {
		return f.Value.String()
	}
	return ""
}

func (s *subject) flag(name string) bool { return s.text(name) == "true" }

func (s *subject) host() error {
	c := &s.config
	if missing, err := bundle.Missing(s.layout.Data()); err == nil && c.Node {
		c.Needs += missing
	}
	if found, err := os.ReadDir(s.layout.DataDir); err == nil && len(found) > 0 {
		c.Needs -= firstStart
	}
	if c.NodeName = s.text("node-name"); c.NodeName == "" {
		name, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("read the host name (set --node-name): %w", err)
		}
		c.NodeName = strings.ToLower(strings.TrimSpace(name))
	}
	given, _ := s.flags.GetStringSlice("node-ip")
	ips, err := parseAddrs("node-ip", given)
	switch {
	case err != nil:
		return err
	case len(ips) > 0:
		c.Address = ips[0]
	default:
		c.Address, c.AddressError = hostaddr.Default()
	}
	return nil
}

func (s *subject) server() error {
	o := serverOptions{
		clusterCIDR: s.text("cluster-cidr"), serviceCIDR: s.text("service-cidr"),
		clusterDNS: s.text("cluster-dns"), clusterDomain: s.text("cluster-domain"),
	}
	c := &s.config
	var err error
	if c.Plan, err = o.plan(); err != nil {
		return err
	}
	c.PlanError = c.Plan.Validate(nil)
	if c.Bind, err = netip.ParseAddr(s.text("bind-address")); err != nil {
		return valueError("bind-address", s.text("bind-address"), "an address such as 0.0.0.0")
	}
	c.Port, err = s.flags.GetInt("https-listen-port")
	return err
}

// agent reads what a node that has joined knows: the cluster's ranges and the
// authority of its server.
func (s *subject) agent(ctx context.Context) error {
	c := &s.config
	c.URL, c.Plan, c.Assumed = s.text("server"), clusternet.Default(), true
	if c.URL == "" && c.Running {
		// It was given to the daemon alone.
		var links view.Report
		if s.ask(ctx, view.PathStatus, &links) == nil && len(links.Links) > 0 {
			if u, err := url.Parse(links.Links[0].Peer); err == nil && u.Host != "" {
				c.URL = "https://" + u.Host
			}
		}
	}
	join := joinOptions{token: s.text("token"), tokenFile: s.text("token-file")}
	token, err := join.secret()
	if err != nil {
		var coded *codedError
		if errors.As(err, &coded) {
			return err
		}
		c.TokenError = err // a node that has joined can do without
	}
	c.Token = token
	files := enroll.NewFiles(s.layout)
	data, err := os.ReadFile(files.Record)
	if err != nil {
		return nil //nolint:nilerr // it has not joined
	}
	var record enroll.Record
	if err := json.Unmarshal(data, &record); err != nil {
		return nil //nolint:nilerr // the start says what is wrong with it
	}
	c.Joined = true
	if len(record.Cluster.ClusterCIDRs) > 0 && len(record.Cluster.ServiceCIDRs) > 0 {
		c.Plan.Pods, c.Plan.Services, c.Assumed = record.Cluster.ClusterCIDRs[0], record.Cluster.ServiceCIDRs[0], false
	}
	c.CA = readCerts(files.ServerCA)
	return nil
}

// readCerts are the certificates of a file, none where it cannot be read.
func readCerts(path string) []*x509.Certificate {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	certs, err := pki.ParseCerts(text)
	if err != nil {
		return nil
	}
	return certs
}
