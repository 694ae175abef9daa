package loaddr

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

// Claim is an address on lo with its rules. It is not for concurrent use.
type Claim struct {
	// What names the address in errors, as in "cluster DNS".
	What string
	Addr netip.Addr
	// Label marks the address, as in lo:kedge; at most 15 characters (IFNAMSIZ).
	Label string
	// From is the link that pods hang on. What comes from any other link for
	// the address is dropped, as a neighbour could otherwise reach it by a route
	// to the service range through this host; empty drops nothing.
	From string
	// Table is the claim's own, Rules its body.
	Table nft.Table
	Rules string

	listing string // how nft printed the table that was applied
}

// Ensure puts address and rules in place, and takes away a former address with
// the same label. It costs a few reads where all is as it should be.
func (c *Claim) Ensure(ctx context.Context) error {
	return errors.Join(c.ensureAddress(), c.ensureRules(ctx))
}

func (c *Claim) ensureAddress() error {
	lo, own, err := labelled(c.Label)
	if err != nil {
		return err
	}
	found := false
	for _, a := range own {
		if have, ok := netip.AddrFromSlice(a.IP); ok && have.Unmap() == c.Addr {
			found = true
			continue
		}
		if err := netlink.AddrDel(lo, &a); err != nil {
			return fmt.Errorf("removing the former %s address %s from lo: %w", c.What, a.IP, err)
		}
	}
	if found {
		return nil
	}
	err = netlink.AddrAdd(lo, &netlink.Addr{
		IPNet: &net.IPNet{IP: c.Addr.AsSlice(), Mask: net.CIDRMask(32, 32)},
		Label: c.Label,
		// Never chosen as the source of the host's own connections.
		Scope: unix.RT_SCOPE_HOST,
	})
	if errors.Is(err, unix.EEXIST) {
		return nil // put there by a person: used, and left at the end
	}
	if err != nil {
		return fmt.Errorf("giving lo the %s address %s: %w", c.What, c.Addr, err)
	}
	return nil
}

// rules is the whole body of the table.
func (c *Claim) rules() string {
	if c.From == "" {
		return c.Rules
	}
	return fmt.Sprintf(`	chain outside {
		type filter hook prerouting priority -310; policy accept;
		iifname != { "lo", %q } ip daddr %s drop comment "only pods and the host reach the %s"
	}
`, c.From, c.Addr, c.What) + c.Rules
}

func (c *Claim) ensureRules(ctx context.Context) error {
	listing, err := nft.List(ctx, c.Table)
	if err != nil && !errors.Is(err, nft.ErrMissing) {
		return err
	}
	if err == nil && listing == c.listing {
		return nil
	}
	rules := c.rules()
	if err := nft.Replace(ctx, c.Table, rules); err != nil {
		return err
	}
	if listing, err = nft.List(ctx, c.Table); err != nil {
		return fmt.Errorf("reading back the rules of the %s: %w", c.What, err)
	}
	if !nft.SameRules(rules, listing) {
		return fmt.Errorf("reading back nftables %s: the rules differ from those that were set:\n%s", c.Table, listing)
	}
	c.listing = listing
	return nil
}

func labelled(label string) (lo netlink.Link, own []netlink.Addr, err error) {
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

// Remove takes away the addresses with this label and the table from this
// network namespace. It needs no running state, may be repeated, and goes on
// after an error.
func Remove(ctx context.Context, label string, table nft.Table) error {
	lo, own, err := labelled(label)
	errs := []error{err}
	for _, a := range own {
		errs = append(errs, netlink.AddrDel(lo, &a))
	}
	return errors.Join(append(errs, nft.Delete(ctx, table))...)
}
