package shape

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ifbQueue is how many packets an IFB may hold that the tree has let go and the
// host has not yet taken back. Its own default of 32 stops a fast tree.
const ifbQueue = 1000

// ipv6AddressesNone (IN6_ADDR_GEN_MODE_NONE) keeps the kernel from giving a
// device an address that nobody can reach.
const ipv6AddressesNone = 1

// ensureDevice makes an IFB device or sets the one that is there right.
func ensureDevice(have link, name, alias string) (link, int, error) {
	if have.index != 0 && have.kind == "ifb" && have.up && have.queue == ifbQueue && have.alias == alias {
		return have, 0, nil
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.TxQLen = name, ifbQueue
	device := &netlink.Ifb{LinkAttrs: attrs}
	if have.index == 0 {
		if err := netlink.LinkAdd(device); err != nil && !errors.Is(err, unix.EEXIST) {
			return have, 0, fmt.Errorf("making %s: %w", name, withRemedy(err, moduleIFB))
		}
	}
	made, err := netlink.LinkByName(name)
	if err != nil {
		return have, 0, fmt.Errorf("looking for %s: %w", name, err)
	}
	if made.Type() != "ifb" {
		return have, 0, fmt.Errorf("link %s is of kind %s and not of kedge: rename or remove it", name, made.Type())
	}
	// Before it is up, and nothing is lost where there is no IPv6.
	_ = netlink.LinkSetIP6AddrGenMode(made, ipv6AddressesNone)
	err = errors.Join(netlink.LinkSetTxQLen(made, ifbQueue), netlink.LinkSetAlias(made, alias), netlink.LinkSetUp(made))
	if err != nil {
		return have, 0, fmt.Errorf("setting up %s: %w", name, err)
	}
	a := made.Attrs()
	return link{name: name, index: a.Index, kind: made.Type(), mtu: a.MTU, up: true, alias: alias, queue: ifbQueue}, 1, nil
}

// bringHome gives devices of ours their names back. Where a name is taken, or the
// kernel (before 6.2) renames none that is up, the device is removed.
func bringHome(log *slog.Logger, strays map[string]link) error {
	var problems []error
	for own, d := range strays {
		log.Warn("device was renamed by somebody", "device", own, "name", d.name)
		err := netlink.LinkSetName(&netlink.Ifb{LinkAttrs: netlink.LinkAttrs{Name: d.name, Index: d.index}}, own)
		if err != nil && !gone(err) {
			problems = append(problems, removeDevice(d))
		}
	}
	return errors.Join(problems...)
}

func removeDevice(d link) error {
	err := netlink.LinkDel(&netlink.Ifb{LinkAttrs: netlink.LinkAttrs{Name: d.name, Index: d.index}})
	if err != nil && !gone(err) {
		return fmt.Errorf("removing %s: %w", d.name, err)
	}
	return nil
}

// gone tells that an error is about a link that is no longer there.
func gone(err error) bool {
	var missing netlink.LinkNotFoundError
	return errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) || errors.As(err, &missing)
}
