package network

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
)

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	addr, ok := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(addr.Unmap(), bits), ok
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// ensureBridge makes or adopts the bridge with exactly the wanted address.
func ensureBridge(want Bridge) error {
	link, err := netlink.LinkByName(want.Name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU, attrs.HardwareAddr = want.Name, want.MTU, want.MAC
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
			return fmt.Errorf("making bridge %s: %w", want.Name, err)
		}
		link, err = netlink.LinkByName(want.Name)
	}
	if err != nil {
		return fmt.Errorf("looking for bridge %s: %w", want.Name, err)
	}
	if link.Type() != "bridge" {
		return fmt.Errorf("link %s is a %s that somebody else made, and the pod network needs the name: remove it with \"ip link delete %s\"", want.Name, link.Type(), want.Name)
	}
	if !bytes.Equal(link.Attrs().HardwareAddr, want.MAC) {
		if err := netlink.LinkSetHardwareAddr(link, want.MAC); err != nil {
			return fmt.Errorf("setting the address of bridge %s: %w", want.Name, err)
		}
	}
	if link.Attrs().MTU != want.MTU {
		if err := netlink.LinkSetMTU(link, want.MTU); err != nil {
			return fmt.Errorf("setting the MTU of bridge %s to %d: %w", want.Name, want.MTU, err)
		}
	}
	if err := ensureAddress(link, want.Address); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("bringing up bridge %s: %w", want.Name, err)
	}
	return ensurePorts(link, want.Isolated)
}

// ensureRelayMTU gives the relay's device, if it is still there, its MTU; 0
// changes nothing.
func ensureRelayMTU(mtu int) error {
	if mtu == 0 {
		return nil
	}
	link, err := netlink.LinkByName(RelayName)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for %s: %w", RelayName, err)
	}
	if link.Attrs().MTU == mtu {
		return nil
	}
	if err := netlink.LinkSetMTU(link, mtu); err != nil {
		return fmt.Errorf("setting the MTU of %s to %d: %w", RelayName, mtu, err)
	}
	return nil
}

// ensurePorts gives the links of running pods the flags that the CNI plugin
// gives to new ones.
func ensurePorts(bridge netlink.Link, isolated bool) error {
	ports, err := podLinks(bridge)
	if err != nil {
		return err
	}
	var errs []error
	for _, port := range ports {
		have, err := netlink.LinkGetProtinfo(port)
		if err != nil {
			// The pod may have gone in the meantime.
			continue
		}
		if have.Isolated != isolated {
			errs = append(errs, netlink.LinkSetIsolated(port, isolated))
		}
		if have.Hairpin == isolated {
			errs = append(errs, netlink.LinkSetHairpin(port, !isolated))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("setting the flags of the ports of bridge %s: %w", bridge.Attrs().Name, err)
	}
	return nil
}

// podLinks returns the host's ends of the pods' links. Only veths are the CNI
// plugin's; another port was put there by a person.
func podLinks(bridge netlink.Link) ([]netlink.Link, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("listing the ports of bridge %s: %w", bridge.Attrs().Name, err)
	}
	return slices.DeleteFunc(links, func(l netlink.Link) bool {
		return l.Attrs().MasterIndex != bridge.Attrs().Index || l.Type() != "veth"
	}), nil
}

func ensureAddress(link netlink.Link, want netip.Prefix) error {
	addrs, err := netlink.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("listing the addresses of %s: %w", link.Attrs().Name, err)
	}
	found := false
	for _, a := range addrs {
		have, _ := prefixOf(a.IPNet)
		if have == want {
			found = true
			continue
		}
		if err := netlink.AddrDel(link, &a); err != nil {
			return fmt.Errorf("removing the former address %s of %s: %w", have, link.Attrs().Name, err)
		}
	}
	if found {
		return nil
	}
	if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: ipNet(want)}); err != nil {
		return fmt.Errorf("giving %s the address %s: %w", link.Attrs().Name, want, err)
	}
	return nil
}

// removeLinks deletes the pods' links and the bridge.
func removeLinks() error {
	bridge, err := netlink.LinkByName(BridgeName)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for bridge %s: %w", BridgeName, err)
	}
	ports, err := podLinks(bridge)
	errs := []error{err}
	for _, port := range ports {
		errs = append(errs, netlink.LinkDel(port))
	}
	return errors.Join(append(errs, netlink.LinkDel(bridge))...)
}
