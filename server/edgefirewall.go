package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/kedge-io/kedge/edgefw/distribute"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/view"
	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/server/firewall"
	"github.com/kedge-io/kedge/server/kube"
	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/hub"
)

// apiPorts are those by which pods reach the API at its service address, as they
// write it and as their node rewrites it.
var apiPorts = []uint16{443, 6444}

// buildFirewall makes what keeps the nodes' firewalls as people want them.
func (s *Server) buildFirewall(report Report) {
	if slices.Contains(s.cfg.Disable, firewall.DisableFirewall) {
		return
	}
	cfg := firewall.Config{
		Client: s.supervisorConfig, OwnNode: s.localNode(), Own: s.publicAddresses(),
		Servers: append(s.publicAddresses(), s.cfg.NodeIPs...),
		Port:    uint16(s.cfg.Port), Advertised: s.cfg.AdvertiseAddress,
		Pods: []netip.Prefix{s.cfg.Net.Pods}, Services: []netip.Prefix{s.cfg.Net.Services},
		ClusterDNS: s.cfg.Net.DNS, API: s.cfg.Net.APIService(), APIPorts: apiPorts,
		Policies: !slices.Contains(s.cfg.Disable, firewall.DisablePolicies),
		Links:    func(node string) []netip.Addr { return s.hub.Remotes(tunnel.NodeName(node)) },
		Connected: func() []string {
			var names []string
			for _, name := range s.hub.Connected() {
				names = append(names, string(name))
			}
			return names
		},
		Lists: s.cfg.Layout.AddressLists(), UserAgent: "kedge/" + s.cfg.Version, Proxy: s.cfg.Proxy,
		Ask: s.askNode, Dial: s.dialFirewall, Identify: s.join.AuthorizeNode, Settled: s.join.Settled,
		Report: func(err error) { report(firewall.Name, err) },
	}
	if s.balancer != nil {
		cfg.Balanced, cfg.Feeds = s.balancer.Balanced, []firewall.Feed{known{s.balancer}}
	}
	s.firewall = firewall.New(cfg, s.log)
}

// publicAddresses are those at which others reach this server.
func (s *Server) publicAddresses() []netip.Addr {
	addrs := []netip.Addr{s.cfg.AdvertiseAddress}
	for _, san := range s.cfg.TLSSANs {
		if a, err := netip.ParseAddr(san); err == nil && !a.IsLoopback() && !slices.Contains(addrs, a.Unmap()) {
			addrs = append(addrs, a.Unmap())
		}
	}
	return addrs
}

func (s *Server) dialFirewall(ctx context.Context, node string) (net.Conn, error) {
	conn, err := s.hub.DialFirewall(ctx, tunnel.NodeName(node))
	if errors.Is(err, hub.ErrNoFirewall) {
		return nil, fmt.Errorf("%w: %w", distribute.ErrUnsupported, err)
	}
	return conn, err
}

// LocalFirewall is the firewall of the server's own node.
type LocalFirewall interface {
	// FirewallStream takes rules until the stream or ctx ends.
	FirewallStream(ctx context.Context, conn net.Conn)
	// FirewallFacts are what is implied there, FirewallNames the addresses that
	// DNS names of rules have there.
	FirewallFacts() model.Facts
	FirewallNames() map[string][]netip.Addr
	// FirewallRestored are the rules that it was left with; nil for none.
	FirewallRestored() *model.Ruleset
}

// ServeFirewall says what the server's own node is. It is called before the
// components run.
func (s *Server) ServeFirewall(node LocalFirewall) {
	if s.firewall == nil {
		return
	}
	s.firewall.ServeLocal(node.FirewallStream, node.FirewallFacts)
	s.firewall.UseNames(node.FirewallNames)
	if left := node.FirewallRestored(); left != nil {
		s.firewall.Restore(left)
	}
}

// firewallComponents is the component, unless it is disabled.
func (s *Server) firewallComponents() []lifecycle.Component {
	if s.firewall == nil {
		return nil
	}
	return []lifecycle.Component{s.firewall.Component(kube.APIServer)}
}

// gated puts the firewall's gate before the API, unless it is disabled.
func (s *Server) gated(api http.Handler) http.Handler {
	if s.firewall == nil {
		return api
	}
	return s.firewall.Gate(api)
}

// joining lets the firewall know a node's address before the node has its answer.
func (s *Server) joining(ctx context.Context, node string, addr netip.Addr) {
	if s.firewall != nil {
		s.firewall.Admit(ctx, node, addr)
	}
}

// joined lets the firewall know who may still be about to register.
func (s *Server) joined(node string, addr netip.Addr, at time.Time) {
	if s.firewall != nil {
		s.firewall.Recall(node, addr, at)
	}
}

// vacated forgets where a machine came from that another one is to replace.
func (s *Server) vacated(node string) {
	if s.firewall != nil {
		s.firewall.Replaced(node)
	}
}

// FirewallHandlers are what kedge firewall asks, by path, for the status socket:
// about all nodes, and of one node, where own are the answers of the server's own.
// It is called before the components run.
func (s *Server) FirewallHandlers(own map[string]http.Handler) map[string]http.Handler {
	handlers := s.AskNodes(own, view.NodePaths...)
	if s.firewall == nil {
		return handlers
	}
	s.nodes = maps.Clone(handlers)
	maps.Copy(handlers, s.firewall.Handlers())
	return handlers
}

// askNode asks a node as somebody at the status socket would.
func (s *Server) askNode(ctx context.Context, node, path string, query url.Values, into any) error {
	h := s.nodes[path]
	if h == nil {
		return fmt.Errorf("nodes are not asked for %s", path)
	}
	q := maps.Clone(query)
	if q == nil {
		q = url.Values{}
	}
	q.Set("node", node)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, path+"?"+q.Encode(), nil)
	if err != nil {
		return err
	}
	w := &kept{header: http.Header{}, code: http.StatusOK}
	h.ServeHTTP(w, r)
	if w.code != http.StatusOK {
		return fmt.Errorf("ask node %s: %s", node, strings.TrimSpace(w.body.String()))
	}
	return json.Unmarshal(w.body.Bytes(), into)
}

// kept is an answer that stays in the process.
type kept struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (k *kept) Header() http.Header         { return k.header }
func (k *kept) WriteHeader(code int)        { k.code = code }
func (k *kept) Write(b []byte) (int, error) { return k.body.Write(b) }
