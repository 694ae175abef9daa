package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/agent/network/nft"
)

// label marks our address on lo.
const label = "lo:kedge"

// ensureAddress gives lo the cluster DNS address and sweeps a former one.
func ensureAddress(addr netip.Addr) error {
	lo, own, err := ownAddresses()
	if err != nil {
		return err
	}
	found := false
	for _, a := range own {
		if have, ok := netip.AddrFromSlice(a.IP); ok && have.Unmap() == addr {
			found = true
			continue
		}
		if err := netlink.AddrDel(lo, &a); err != nil {
			return fmt.Errorf("removing the former cluster DNS address %s from lo: %w", a.IP, err)
		}
	}
	if found {
		return nil
	}
	err = netlink.AddrAdd(lo, &netlink.Addr{
		IPNet: &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(32, 32)},
		Label: label,
		// Never chosen as the source of the host's own connections.
		Scope: unix.RT_SCOPE_HOST,
	})
	if errors.Is(err, unix.EEXIST) {
		return nil // put there by a person: used, and left at the end
	}
	if err != nil {
		return fmt.Errorf("giving lo the cluster DNS address %s: %w", addr, err)
	}
	return nil
}

func ownAddresses() (lo netlink.Link, own []netlink.Addr, err error) {
	lo, err = netlink.LinkByName("lo")
	if err != nil {
		return nil, nil, fmt.Errorf("looking for link lo: %w", err)
	}
	addrs, err := netlink.AddrList(lo, netlink.FAMILY_V4)
	if err != nil {
		return nil, nil, fmt.Errorf("listing the addresses of lo: %w", err)
	}
	for _, a := range addrs {
		if a.Label == label {
			own = append(own, a)
		}
	}
	return lo, own, nil
}

// RemoveAll takes away the cluster DNS address and the rules of this network
// namespace. It needs no running state, may be repeated, and goes on after an
// error.
func RemoveAll(ctx context.Context) error {
	lo, own, err := ownAddresses()
	errs := []error{err}
	for _, a := range own {
		errs = append(errs, netlink.AddrDel(lo, &a))
	}
	return errors.Join(append(errs, nft.Delete(ctx, tableDNS))...)
}
