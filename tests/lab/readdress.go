package lab

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Readdress gives eth0 of the host another address of its site's network and takes the old one
// away, as a new DHCP lease does. Connections of the old address are left to die. It stays when
// the host is powered off. A public host keeps its name's old address until SetName.
func (h *Host) Readdress(addr netip.Addr) error {
	now := netip.PrefixFrom(addr, h.site.plan.lan.Bits())
	if !h.site.plan.lan.Contains(addr) || addr == h.site.plan.gw {
		return fmt.Errorf("address %s for host %s: want one of hosts in %s", addr, h.Name(), h.site.plan.lan)
	}
	n, err := h.network()
	if err != nil {
		return err
	}
	before := h.address()
	if err := n.replaceAddr("eth0", before, now); err != nil {
		return err
	}
	h.mu.Lock()
	h.addr = now
	h.mu.Unlock()
	return n.route(anywhere, h.site.plan.gw)
}

// SetName makes HOST.lab.test the address, for a public host that moved. Answers may be kept for
// 5 seconds by who asked.
func (l *Lab) SetName(host string, addr netip.Addr) { l.dns.set(host+"."+Zone+".", addr.String()) }

// WAN is the address under which the internet sees a NAT site.
func (s *SiteNet) WAN() netip.Addr { return s.plan.wan }

// Readdress gives the site's gateway another address on the exchange, with a last byte from 210 to
// 254, as a provider does every night: all mappings of the old one are gone.
func (s *SiteNet) Readdress(addr netip.Addr) error {
	if !exchange.Contains(addr) || addr.As4()[3] < firstHost+maxSites {
		return fmt.Errorf("address %s for site %s: want one from %s to 254 in the last byte", addr, s.plan.Name, nth(exchange.Addr(), firstHost+maxSites))
	}
	before, now := netip.PrefixFrom(s.plan.wan, exchange.Bits()), netip.PrefixFrom(addr, exchange.Bits())
	if err := s.gw.replaceAddr("wan", before, now); err != nil {
		return err
	}
	s.plan.wan = addr
	if err := s.gw.route(anywhere, exchangeIP); err != nil {
		return err
	}
	if s.plan.Public {
		return s.inet.route(s.plan.lan, addr)
	}
	return s.Rebind()
}

// Rebind makes the gateway of a NAT site forget all its mappings, as one does that was switched off
// for a moment: packets of old connections vanish in both directions without a word, new
// connections work.
func (s *SiteNet) Rebind() error {
	// Else the next packet from inside would make the same mapping again.
	if err := s.gw.set(map[string]string{"net/netfilter/nf_conntrack_tcp_loose": "0"}); err != nil {
		return err
	}
	return s.gw.do(func() error { return netlink.ConntrackTableFlush(netlink.ConntrackTable) })
}

// OnlyTo makes the gateway of a NAT site drop what does not go to one of the addresses, except for
// names: a site whose only way out is a proxy. It cannot be undone.
func (s *SiteNet) OnlyTo(addrs ...netip.Addr) error {
	script := fmt.Sprintf("insert rule ip lab forward iifname lan oifname wan ip daddr != %s drop\n", exchangeIP)
	for _, a := range addrs {
		script += fmt.Sprintf("insert rule ip lab forward iifname lan oifname wan ip daddr %s accept\n", a)
	}
	return s.gw.nft(script)
}

// replaceAddr replaces an address of a device. Routes that used it go with it.
func (n *network) replaceAddr(device string, before, now netip.Prefix) error {
	link, err := n.nl.LinkByName(device)
	if err != nil {
		return fmt.Errorf("link %s: %w", device, err)
	}
	// Taken away first: the second address of a network would go together with the first.
	err = n.nl.AddrDel(link, &netlink.Addr{IPNet: ipNet(before)})
	if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("remove address %s from %s: %w", before, device, err)
	}
	if err := n.nl.AddrReplace(link, &netlink.Addr{IPNet: ipNet(now)}); err != nil {
		return fmt.Errorf("address %s on %s: %w", now, device, err)
	}
	return nil
}
