package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// network is a network namespace and a netlink socket in it.
type network struct {
	ns *os.File
	nl *netlink.Handle
}

// openNetwork takes over ns.
func openNetwork(ns *os.File) (*network, error) {
	nl, err := netlink.NewHandleAt(netns.NsHandle(ns.Fd()))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open netlink: %w", err), ns.Close())
	}
	return &network{ns: ns, nl: nl}, nil
}

func (n *network) release() {
	if n == nil {
		return
	}
	n.nl.Close()
	_ = n.ns.Close()
}

func (n *network) do(fn func() error) error { return inNetns(n.ns, fn) }

// set writes sysctls of the namespace; /proc/sys/net is that of the thread that looks.
func (n *network) set(values map[string]string) error {
	return n.do(func() error {
		for key, value := range values {
			if err := os.WriteFile("/proc/sys/"+key, []byte(value), 0o644); err != nil {
				return err
			}
		}
		return nil
	})
}

// nft runs a script of nft(8) in the namespace, all or nothing.
func (n *network) nft(script string) error {
	return n.do(func() error {
		cmd := exec.Command("nft", "-f", "-")
		cmd.Stdin = strings.NewReader(script)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("nft: %w: %s", err, out)
		}
		return nil
	})
}

// up sets links up and gives them addresses.
func (n *network) up(name string, addrs ...netip.Prefix) error {
	link, err := n.nl.LinkByName(name)
	if err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	for _, a := range addrs {
		if err := n.nl.AddrReplace(link, &netlink.Addr{IPNet: ipNet(a)}); err != nil {
			return fmt.Errorf("address %s on %s: %w", a, name, err)
		}
	}
	if err := n.nl.LinkSetUp(link); err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	return nil
}

func (n *network) route(to netip.Prefix, via netip.Addr) error {
	r := &netlink.Route{Dst: ipNet(to), Gw: net.IP(via.AsSlice())}
	if err := n.nl.RouteReplace(r); err != nil {
		return fmt.Errorf("route %s via %s: %w", to, via, err)
	}
	return nil
}

func (n *network) bridge(name string, addr netip.Prefix) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	if err := n.nl.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		return fmt.Errorf("add bridge %s: %w", name, err)
	}
	return n.up(name, addr)
}

// plug makes a link between the port of bridge in n and device there in peer. The returned link's
// near end is the port.
func (n *network) plug(bridge, port string, peer *network, device string) (*Link, error) {
	br, err := n.nl.LinkByName(bridge)
	if err != nil {
		return nil, fmt.Errorf("bridge %s: %w", bridge, err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MasterIndex = port, br.Attrs().Index
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: device, PeerNamespace: netlink.NsFd(peer.ns.Fd())}
	if err := n.nl.LinkAdd(veth); err != nil {
		return nil, fmt.Errorf("add link %s-%s: %w", port, device, err)
	}
	if err := n.up(port); err != nil {
		return nil, err
	}
	return &Link{near: end{n, port}, far: end{peer, device}}, nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: net.IP(p.Addr().AsSlice()), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

var anywhere = netip.MustParsePrefix("0.0.0.0/0")

func newRouter() (*network, error) {
	ns, err := newNetns()
	if err != nil {
		return nil, err
	}
	n, err := openNetwork(ns)
	if err != nil {
		return nil, err
	}
	if err := n.set(map[string]string{"net/ipv4/ip_forward": "1"}); err != nil {
		return nil, err
	}
	// Bridged frames must not meet the gateway's own filter. The key is there only with br_netfilter.
	err = n.set(map[string]string{"net/bridge/bridge-nf-call-iptables": "0"})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return n, n.up("lo")
}

// buildInternet makes the router of the exchange.
func (l *Lab) buildInternet() error {
	var err error
	if l.inet, err = newRouter(); err != nil {
		return fmt.Errorf("internet: %w", err)
	}
	return l.inet.bridge("ix", netip.PrefixFrom(exchangeIP, exchange.Bits()))
}

// buildSite makes a site's gateway and joins it to the exchange.
func (l *Lab) buildSite(p sitePlan) error {
	gw, err := newRouter()
	if err != nil {
		return err
	}
	s := &SiteNet{gw: gw, plan: p, inet: l.inet}
	l.sites[p.Name] = s
	if p.Delay > 0 {
		s.Uplink, s.line, err = l.inet.plugDelayed("ix", p.Name, gw, "wan", p.Delay)
	} else {
		s.Uplink, err = l.inet.plug("ix", p.Name, gw, "wan")
	}
	if err != nil {
		return err
	}
	if err := gw.up("wan", netip.PrefixFrom(p.wan, exchange.Bits())); err != nil {
		return err
	}
	if err := gw.route(anywhere, exchangeIP); err != nil {
		return err
	}
	if err := gw.bridge("lan", netip.PrefixFrom(p.gw, p.lan.Bits())); err != nil {
		return err
	}
	if p.Public {
		return l.inet.route(p.lan, p.wan)
	}
	return gw.nft(natRules)
}

// natRules make a gateway that lets its site out under one address and nothing in.
const natRules = `
table ip lab {
	chain input {
		type filter hook input priority filter; policy drop;
		ct state established,related accept
		iifname { "lo", "lan" } accept
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state invalid drop
		ct state established,related accept
		iifname "lan" oifname "wan" accept
	}
	chain postrouting {
		type nat hook postrouting priority srcnat;
		oifname "wan" masquerade
	}
}
`
