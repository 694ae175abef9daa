package main

import (
	"fmt"
	"io/fs"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/kedge-io/kedge/agent"
	"github.com/kedge-io/kedge/agent/firewall/hostfacts"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/internal/clusternet"
	"github.com/kedge-io/kedge/internal/hostaddr"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/internal/version"
	"github.com/kedge-io/kedge/server"
)

// identity is what a person left open and the host knows.
type identity struct {
	layout      paths.Layout
	name        string
	ips         []netip.Addr
	ipsGiven    bool // ips are of --node-ip
	externalIPs []netip.Addr
	failsafe    []model.Failsafe
}

func valueError(option, value, want string) error {
	return usageError(fmt.Errorf("--%s %q: give %s", option, value, want))
}

func (o *nodeOptions) identity() (identity, error) {
	id := identity{layout: paths.New(o.dataDir), name: o.nodeName}
	if !strings.HasPrefix(o.dataDir, "/") {
		return id, valueError("data-dir", o.dataDir, "an absolute path")
	}
	var err error
	if id.name == "" {
		if id.name, err = os.Hostname(); err != nil {
			return id, fmt.Errorf("read the host name (set --node-name): %w", err)
		}
		id.name = strings.ToLower(strings.TrimSpace(id.name))
	}
	if id.ips, err = parseAddrs("node-ip", o.nodeIPs); err != nil {
		return id, err
	}
	if id.externalIPs, err = parseAddrs("node-external-ip", o.externalIPs); err != nil {
		return id, err
	}
	for _, entry := range o.failsafe {
		f, err := hostfacts.ParseFailsafe(entry)
		if err != nil {
			return id, usageError(err)
		}
		id.failsafe = append(id.failsafe, f)
	}
	id.ipsGiven = len(id.ips) > 0
	if !id.ipsGiven {
		ip, err := hostaddr.Default()
		if err != nil {
			return id, err
		}
		id.ips = []netip.Addr{ip}
	}
	return id, nil
}

// agentConfig is the node side of both daemons.
func (o *nodeOptions) agentConfig(id identity) agent.Config {
	return agent.Config{
		Layout: id.layout, NodeName: id.name, NodeIPs: id.ips, NodeIPsGiven: id.ipsGiven, ExternalIPs: id.externalIPs,
		Labels: o.labels, Taints: o.taints, ResolvConf: o.resolvConf, CgroupRoot: o.cgroupRoot, Failsafe: id.failsafe, Uplink: o.uplink,
		RegistriesFile: o.registries, MirrorsOnly: o.mirrorsOnly,
		KubeletArgs: o.kubeletArgs, KubeProxyArgs: o.proxyArgs, Debug: o.debug,
		Env: os.Environ(), Version: version.Kedge,
	}
}

func (o *serverOptions) config(id identity) (server.Config, error) {
	c := server.Config{
		Layout: id.layout, NodeName: id.name, NodeIPs: id.ips, RunsNode: !o.disableAgent,
		Port: o.port, TLSSANs: o.tlsSANs, AdvertiseAddress: id.ips[0], Disable: o.disable,
		Kubeconfig: o.kubeconfig, MetricsResolution: o.metricsResolution,
		Datastore:     server.Datastore{Endpoint: o.datastore, CAFile: o.dsCAFile, CertFile: o.dsCert, KeyFile: o.dsKey},
		APIServerArgs: o.apiArgs, ControllerManagerArgs: o.controllerArgs, SchedulerArgs: o.schedArgs,
		CertificateLifetime: o.certLifetime, CertificateGrace: o.certGrace, Version: version.Kedge, Proxy: http.ProxyFromEnvironment,
	}
	if len(id.externalIPs) > 0 {
		for _, ip := range id.externalIPs {
			c.TLSSANs = append(c.TLSSANs, ip.String())
		}
	}
	var err error
	if c.Program, err = installedProgram(); err != nil {
		return c, err
	}
	if c.BindAddress, err = netip.ParseAddr(o.bindAddress); err != nil {
		return c, valueError("bind-address", o.bindAddress, "an address such as 0.0.0.0")
	}
	if o.advertiseAddress != "" {
		if c.AdvertiseAddress, err = netip.ParseAddr(o.advertiseAddress); err != nil {
			return c, valueError("advertise-address", o.advertiseAddress, "an address such as 192.168.1.10")
		}
	}
	if c.Snapshots, err = o.snapshots.config(id.layout, id.name); err != nil {
		return c, err
	}
	mode, err := strconv.ParseUint(o.kubeconfigMode, 8, 32)
	if err != nil {
		return c, valueError("write-kubeconfig-mode", o.kubeconfigMode, "a file mode such as 0600")
	}
	c.KubeconfigMode = fs.FileMode(mode)
	if c.Net, err = o.plan(); err != nil {
		return c, err
	}
	host, err := hostaddr.All()
	if err != nil {
		return c, err
	}
	if err := c.Validate(foreign(host, c.Net)); err != nil {
		return c, usageError(err)
	}
	return c, nil
}

func (o *serverOptions) plan() (clusternet.Plan, error) {
	p := clusternet.Plan{Domain: o.clusterDomain}
	var err error
	if p.Pods, err = netip.ParsePrefix(o.clusterCIDR); err != nil {
		return p, valueError("cluster-cidr", o.clusterCIDR, "a range such as 10.42.0.0/16")
	}
	if p.Services, err = netip.ParsePrefix(o.serviceCIDR); err != nil {
		return p, valueError("service-cidr", o.serviceCIDR, "a range such as 10.43.0.0/16")
	}
	p.DNS = clusternet.Nth(p.Services, 10)
	if o.clusterDNS != "" {
		if p.DNS, err = netip.ParseAddr(o.clusterDNS); err != nil {
			return p, valueError("cluster-dns", o.clusterDNS, "an address such as 10.43.0.10")
		}
	}
	return p, nil
}

// foreign leaves out the addresses that kedge itself gave to this host when it
// ran before: the addresses of DNS and API on lo and the bridge's first pod address.
func foreign(host []netip.Addr, p clusternet.Plan) []netip.Addr {
	own := hostaddr.On("kedge0")
	var out []netip.Addr
	for _, a := range host {
		if a == p.DNS || a == p.APIService() {
			continue
		}
		mine := false
		for _, o := range own {
			mine = mine || a == o
		}
		if !mine {
			out = append(out, a)
		}
	}
	return out
}

// built is the date of this program; zero in a build without one.
func built() time.Time {
	t, err := time.Parse(time.RFC3339, version.Date)
	if err != nil {
		return time.Time{}
	}
	return t
}
