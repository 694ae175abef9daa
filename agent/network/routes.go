package network

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/agent/network/probe"
)

// ensureRoutes sets the wanted routes of a table and sweeps others of our
// protocol in it.
func ensureRoutes(table int, want []Route) error {
	have, err := ownRoutes(table)
	if err != nil {
		return err
	}
	stale := map[string]netlink.Route{}
	for _, r := range have {
		stale[routeKey(r)] = r
	}
	var errs []error
	for _, r := range want {
		route, err := kernelRoute(table, r)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if _, ok := stale[routeKey(route)]; ok {
			delete(stale, routeKey(route))
			continue
		}
		if err := netlink.RouteReplace(&route); err != nil {
			errs = append(errs, fmt.Errorf("setting route %s: %w", r, err))
		}
	}
	// A route with a new gateway replaced the former one, so that what is
	// left to sweep is read again.
	have, err = ownRoutes(table)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	for _, r := range have {
		if _, ok := stale[routeKey(r)]; ok {
			errs = append(errs, netlink.RouteDel(&r))
		}
	}
	return errors.Join(errs...)
}

func kernelRoute(table int, r Route) (netlink.Route, error) {
	route := netlink.Route{Dst: ipNet(r.Destination), Protocol: RouteProtocol, Priority: r.Metric, Table: table, Family: netlink.FAMILY_V4}
	if r.Link == "" {
		route.Type = unix.RTN_UNREACHABLE
		return route, nil
	}
	link, err := netlink.LinkByName(r.Link)
	if err != nil {
		return route, fmt.Errorf("looking for the link of route %s: %w", r, err)
	}
	route.Type, route.LinkIndex, route.Src = unix.RTN_UNICAST, link.Attrs().Index, r.Source.AsSlice()
	if r.Gateway.IsValid() {
		route.Gw = r.Gateway.AsSlice()
	} else {
		route.Scope = netlink.SCOPE_LINK
	}
	return route, nil
}

func ownRoutes(table int) ([]netlink.Route, error) {
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Protocol: RouteProtocol, Table: table}, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("listing routes of protocol %d: %w", RouteProtocol, err)
	}
	return routes, nil
}

// routeKey tells two kernel routes apart by what this package sets.
func routeKey(r netlink.Route) string {
	link := r.LinkIndex
	if r.Type == unix.RTN_UNREACHABLE {
		link = 0
	}
	return fmt.Sprintf("%v %v %v %d %d %d", r.Dst, r.Gw, r.Src, link, r.Priority, r.Type)
}

// ensureProbeRoutes sets the routes for probes and the rule by which probes find
// them, or takes both away. The rule goes by ports rather than by a mark of the
// socket, because with it the kernel's reverse path filter finds the same route
// for what comes in.
func ensureProbeRoutes(want []Route) error {
	if err := ensureRoutes(ProbeTable, want); err != nil {
		return err
	}
	rules, err := netlink.RuleListFiltered(netlink.FAMILY_V4, &netlink.Rule{Table: ProbeTable}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return fmt.Errorf("listing the routing rules of table %d: %w", ProbeTable, err)
	}
	rule := netlink.NewRule()
	rule.Family, rule.Table, rule.Priority, rule.IPProto = netlink.FAMILY_V4, ProbeTable, ProbeTable, unix.IPPROTO_UDP
	rule.Sport, rule.Dport = netlink.NewRulePortRange(probe.Port, probe.Port), netlink.NewRulePortRange(probe.Port, probe.Port)
	found := false
	var errs []error
	for _, have := range rules {
		if len(want) > 0 && !found && sameRule(have, *rule) {
			found = true
			continue
		}
		errs = append(errs, netlink.RuleDel(&have))
	}
	if len(want) > 0 && !found {
		errs = append(errs, netlink.RuleAdd(rule))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("setting the routing rule of probes: %w", err)
	}
	return nil
}

func sameRule(a, b netlink.Rule) bool {
	ports := func(r *netlink.RulePortRange) netlink.RulePortRange {
		if r == nil {
			return netlink.RulePortRange{}
		}
		return *r
	}
	return a.Priority == b.Priority && a.IPProto == b.IPProto && ports(a.Sport) == ports(b.Sport) && ports(a.Dport) == ports(b.Dport)
}

// directGateways returns the gateways of the peers' pod ranges that the kernel
// has a direct route to.
func directGateways() (map[netip.Prefix]netip.Addr, error) {
	routes, err := ownRoutes(unix.RT_TABLE_MAIN)
	if err != nil {
		return nil, err
	}
	out := map[netip.Prefix]netip.Addr{}
	for _, r := range routes {
		to, ok := prefixOf(r.Dst)
		if via, isVia := netip.AddrFromSlice(r.Gw); ok && isVia && r.Priority == peerMetric {
			out[to] = via.Unmap()
		}
	}
	return out, nil
}

func removeRoutes() error {
	routes, err := ownRoutes(unix.RT_TABLE_MAIN)
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range routes {
		errs = append(errs, netlink.RouteDel(&r))
	}
	return errors.Join(errs...)
}
