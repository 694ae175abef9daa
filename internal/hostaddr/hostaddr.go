package hostaddr

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// ErrNone tells that the host has no address that another host could use.
var ErrNone = errors.New("this host has no address besides loopback and link-local ones: set --node-ip")

// Default returns the source address that the kernel would use towards the
// rest of the world, or, on a host without a default route, the first global
// unicast address of a link that is up. The error wraps [ErrNone] when there
// is neither.
func Default() (netip.Addr, error) {
	// 192.0.2.1 (RFC 5737) is nobody's; connecting a datagram socket only asks
	// the routing table.
	if addr, err := Towards("192.0.2.1:9"); err == nil && usable(addr) {
		return addr, nil
	}
	addrs, err := All()
	if err != nil {
		return netip.Addr{}, err
	}
	for _, a := range addrs {
		if usable(a) {
			return a, nil
		}
	}
	return netip.Addr{}, ErrNone
}

// Towards returns the source address that the kernel would use to reach
// hostport. A host name in it is resolved.
func Towards(hostport string) (netip.Addr, error) {
	conn, err := net.Dial("udp", hostport)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("look up the route to %s: %w", hostport, err)
	}
	defer func() { _ = conn.Close() }()
	ap, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil {
		return netip.Addr{}, fmt.Errorf("look up the route to %s: %w", hostport, err)
	}
	return ap.Addr().Unmap(), nil
}

// All returns the addresses of all links that are up, IPv4 before IPv6 on
// each link, loopback included.
func All() ([]netip.Addr, error) {
	links, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	var out []netip.Addr
	for _, link := range links {
		if link.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := link.Addrs()
		if err != nil {
			continue // the link went away in between
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				out = append(out, p.Addr().Unmap())
			}
		}
	}
	return out, nil
}

func usable(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsLoopback() && !a.IsUnspecified()
}

// On returns the addresses of the link of a name, none when there is no such
// link.
func On(name string) []netip.Addr {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return nil
	}
	addrs, err := link.Addrs()
	if err != nil {
		return nil
	}
	var out []netip.Addr
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr().Unmap())
		}
	}
	return out
}
