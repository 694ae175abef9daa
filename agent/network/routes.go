package network

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ensureRoutes sets the wanted routes and sweeps others of our protocol.
func ensureRoutes(want []Route) error {
	have, err := ownRoutes()
	if err != nil {
		return err
	}
	stale := map[string]netlink.Route{}
	for _, r := range have {
		stale[routeKey(r)] = r
	}
	var errs []error
	for _, r := range want {
		route, err := kernelRoute(r)
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
	have, err = ownRoutes()
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

func kernelRoute(r Route) (netlink.Route, error) {
	route := netlink.Route{Dst: ipNet(r.Destination), Protocol: RouteProtocol, Priority: r.Metric, Table: unix.RT_TABLE_MAIN, Family: netlink.FAMILY_V4}
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

func ownRoutes() ([]netlink.Route, error) {
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Protocol: RouteProtocol}, netlink.RT_FILTER_PROTOCOL)
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

func removeRoutes() error {
	routes, err := ownRoutes()
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range routes {
		errs = append(errs, netlink.RouteDel(&r))
	}
	return errors.Join(errs...)
}
