package network

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/kedge-io/kedge/agent/network/probe"
)

const (
	// BridgeName is the link that all pods of the node hang on.
	BridgeName = "kedge0"
	// RelayName is the device whose packets travel over the link to the server.
	// Another component makes it; it may come and go.
	RelayName = "kedge-relay"
	// RouteProtocol marks the routes of this package (rtm_protocol, "k" in
	// ASCII; unassigned in the kernel's rtnetlink.h and in iproute2's
	// rt_protos).
	RouteProtocol = 107

	// ProbeTable is the routing table for probes, and the priority of the rule
	// that leads there.
	ProbeTable = 10107

	// A person's own route to the same range has a lower metric and wins.
	peerMetric = 107
	// Peers that are not reached directly, and nodes that are not known yet.
	relayMetric = 1 << 20
	// Last of all routes to the cluster's range.
	guardMetric = 1 << 30

	defaultMTU = 1500
)

// Plan is the whole wanted state of the pod network, free of I/O. Its String is
// stable and complete.
type Plan struct {
	Bridge Bridge
	// RelayMTU is the wanted MTU of the relay's device in bytes, 0 when there is
	// none. It is that of the bridge: a pod's packet fits whichever way it takes.
	RelayMTU int
	Sysctls  []Sysctl
	Ruleset  string // text between the braces of table inet kedge-net
	Forward  netip.Prefix
	Routes   []Route
	// Probes are the routes of table ProbeTable, which packets of probes use and
	// nothing else. Empty where no peer may be near.
	Probes   []Route
	Conflist []byte
	// Relayed names the peers that are reached over the relay only.
	Relayed []string
}

// Bridge is the wanted pod bridge.
type Bridge struct {
	Name    string
	Address netip.Prefix // the pods' gateway
	MAC     net.HardwareAddr
	MTU     int // bytes
	// Isolated keeps frames from going from pod to pod; otherwise a frame may
	// even go back to where it came from (hairpin).
	Isolated bool
}

// Sysctl is a file below /proc/sys and its wanted value.
type Sysctl struct{ Path, Value string }

// Route is one route of protocol RouteProtocol in the main table. Without a
// link it answers "unreachable", without a gateway the link is all it needs.
type Route struct {
	Destination netip.Prefix
	Gateway     netip.Addr
	Link        string
	// Source is the address that the host itself uses on this route.
	Source netip.Addr
	Metric int
}

func (r Route) String() string {
	switch {
	case r.Link == "":
		return fmt.Sprintf("unreachable %s metric %d", r.Destination, r.Metric)
	case !r.Gateway.IsValid():
		return fmt.Sprintf("%s dev %s src %s metric %d", r.Destination, r.Link, r.Source, r.Metric)
	default:
		return fmt.Sprintf("%s via %s dev %s src %s metric %d", r.Destination, r.Gateway, r.Link, r.Source, r.Metric)
	}
}

// NewPlan computes the wanted state. It fails when the node's pod range is no
// IPv4 range inside the cluster's.
func NewPlan(cfg Config, f Facts) (Plan, error) {
	pods := f.PodCIDR.Masked()
	if !pods.IsValid() || !pods.Addr().Is4() || pods.Bits() > 30 {
		return Plan{}, fmt.Errorf("node %s has pod range %q: an IPv4 range of at least 4 addresses is needed", cfg.NodeName, f.PodCIDR)
	}
	if !cfg.ClusterCIDR.Contains(pods.Addr()) || pods.Bits() < cfg.ClusterCIDR.Bits() {
		return Plan{}, fmt.Errorf("node %s has pod range %s outside of cluster-cidr %s: give this node the servers' cluster-cidr", cfg.NodeName, pods, cfg.ClusterCIDR)
	}
	gateway := pods.Addr().Next()
	mtu := bridgeMTU(f)
	p := Plan{
		Bridge: Bridge{
			Name:    BridgeName,
			Address: netip.PrefixFrom(gateway, pods.Bits()),
			// Fixed, as a bridge otherwise takes the lowest address of its
			// ports and changes it under the pods' ARP caches.
			MAC:      append(net.HardwareAddr{0x0a, 0x58}, gateway.AsSlice()...),
			MTU:      mtu,
			Isolated: !f.BridgeFilter,
		},
		Sysctls: []Sysctl{
			{"net/ipv4/ip_forward", "1"},
			{"net/ipv4/conf/" + BridgeName + "/proxy_arp_pvlan", digit(!f.BridgeFilter)},
		},
		Ruleset: ruleset(pods, cfg.ClusterCIDR.Masked(), f.HostPorts),
		Forward: cfg.ClusterCIDR.Masked(),
	}
	if f.Relay {
		p.RelayMTU = mtu
		// Loose: while a path changes, packets of a peer come in over the relay
		// although the route to it is direct. The kernel takes the higher of this
		// and conf/all, so 2 wins over a strict 1 of the host.
		p.Sysctls = append(p.Sysctls, Sysctl{"net/ipv4/conf/" + RelayName + "/rp_filter", "2"})
	}
	p.Routes, p.Relayed = routes(cfg.ClusterCIDR.Masked(), gateway, f)
	p.Probes = probeRoutes(p, gateway, f)
	var err error
	p.Conflist, err = conflist(cfg, pods, p.Bridge)
	return p, err
}

func bridgeMTU(f Facts) int { return cmp.Or(f.MTU, defaultMTU) }

func digit(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

// routes returns the routes to other nodes. The host's own packets have its
// cluster address, which is the same whichever way they take.
func routes(cluster netip.Prefix, own netip.Addr, f Facts) (routes []Route, relayed []string) {
	for _, peer := range f.Peers {
		if !peer.PodCIDR.IsValid() || !peer.PodCIDR.Addr().Is4() || !cluster.Contains(peer.PodCIDR.Addr()) || peer.PodCIDR.Overlaps(f.PodCIDR) {
			continue
		}
		path, ok := f.Direct[peer.Name]
		if !ok {
			relayed = append(relayed, peer.Name)
			continue
		}
		routes = append(routes, Route{Destination: peer.PodCIDR.Masked(), Gateway: path.Gateway, Link: path.Link, Source: own, Metric: peerMetric})
	}
	if f.Relay {
		routes = append(routes, Route{Destination: cluster, Link: RelayName, Source: own, Metric: relayMetric})
	}
	routes = append(routes, Route{Destination: cluster, Metric: guardMetric})
	slices.SortFunc(routes, func(a, b Route) int { return strings.Compare(a.String(), b.String()) })
	slices.Sort(relayed)
	// Two nodes with one range are a mistake of the cluster; one route is
	// kept so that the kernel is not asked for both in turn.
	return slices.CompactFunc(routes, func(a, b Route) bool {
		return a.Destination == b.Destination && a.Metric == b.Metric
	}), relayed
}

// probeRoutes lead to the cluster addresses of peers over the paths that are
// being tried, and nowhere else: a probe that took another way would prove it.
func probeRoutes(p Plan, own netip.Addr, f Facts) []Route {
	var out []Route
	for _, peer := range f.Peers {
		path, ok := f.Tried[peer.Name]
		if !ok || !p.Forward.Contains(peer.PodCIDR.Addr()) || peer.PodCIDR.Overlaps(f.PodCIDR) {
			continue
		}
		to := peer.PodCIDR.Masked().Addr().Next()
		out = append(out, Route{Destination: netip.PrefixFrom(to, to.BitLen()), Gateway: path.Gateway, Link: path.Link, Source: own, Metric: peerMetric})
	}
	if len(out) == 0 {
		return nil
	}
	out = append(out, Route{Destination: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Metric: guardMetric})
	slices.SortFunc(out, func(a, b Route) int { return strings.Compare(a.String(), b.String()) })
	return slices.CompactFunc(out, func(a, b Route) bool { return a.Destination == b.Destination })
}

// String is the plan as text for people, golden files and comparison.
func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "link %s type bridge address %s mtu %d inet %s isolated %t\n", p.Bridge.Name, p.Bridge.MAC, p.Bridge.MTU, p.Bridge.Address, p.Bridge.Isolated)
	if p.RelayMTU > 0 {
		fmt.Fprintf(&b, "link %s mtu %d\n", RelayName, p.RelayMTU)
	}
	for _, s := range p.Sysctls {
		fmt.Fprintf(&b, "sysctl %s = %s\n", s.Path, s.Value)
	}
	for _, r := range p.Routes {
		fmt.Fprintf(&b, "route %s proto %d\n", r, RouteProtocol)
	}
	for _, r := range p.Probes {
		fmt.Fprintf(&b, "route %s proto %d table %d for udp port %d to %d\n", r, RouteProtocol, ProbeTable, probe.Port, probe.Port)
	}
	for _, name := range p.Relayed {
		fmt.Fprintf(&b, "relayed %s\n", name)
	}
	fmt.Fprintf(&b, "forward accept %s where the policy is drop\n", p.Forward)
	fmt.Fprintf(&b, "%s {\n%s}\n", tableNet, p.Ruleset)
	fmt.Fprintf(&b, "conflist\n%s", p.Conflist)
	return b.String()
}
