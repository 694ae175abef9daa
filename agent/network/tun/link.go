package tun

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
)

// Settings is how the link is to be.
type Settings struct {
	// Address is the node's own, the first one of its pod range, with the
	// length of that range. What the node itself sends through the device has
	// it as its source, so that answers find the way back.
	Address netip.Prefix
	// MTU in bytes: that of the pods' bridge, so that no path inside the
	// cluster is narrower than the pods believe.
	MTU int
}

// Configure brings the link called name to its settings and up. What is right
// is left alone.
func Configure(name string, want Settings) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("looking for device %s: %w", name, err)
	}
	// Before the link is up: the kernel would begin to look for IPv6 routers.
	if err := setting("ipv6", name, "disable_ipv6", "1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	// Loose, not off: an answer may come by the relay while we send directly,
	// as the two ends change over at different moments. The kernel takes the
	// stricter of this and conf.all: loose wins over strict.
	if err := setting("ipv4", name, "rp_filter", "2"); err != nil {
		return err
	}
	if link.Attrs().MTU != want.MTU {
		if err := netlink.LinkSetMTU(link, want.MTU); err != nil {
			return fmt.Errorf("setting the MTU of device %s to %d: %w", name, want.MTU, err)
		}
	}
	if err := address(link, want.Address.Addr()); err != nil {
		return err
	}
	if link.Attrs().Flags&net.FlagUp != 0 {
		return nil
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("bringing up device %s: %w", name, err)
	}
	return nil
}

func address(link netlink.Link, want netip.Addr) error {
	addrs, err := netlink.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("listing the addresses of %s: %w", link.Attrs().Name, err)
	}
	own := &net.IPNet{IP: want.AsSlice(), Mask: net.CIDRMask(32, 32)}
	found := false
	for _, a := range addrs {
		if a.IPNet.String() == own.String() {
			found = true
			continue
		}
		if err := netlink.AddrDel(link, &a); err != nil {
			return fmt.Errorf("removing the former address %s of %s: %w", a.IPNet, link.Attrs().Name, err)
		}
	}
	if found {
		return nil
	}
	if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: own}); err != nil {
		return fmt.Errorf("giving %s the address %s: %w", link.Attrs().Name, want, err)
	}
	return nil
}

// setting writes a sysctl of the link where it differs. The thread's own /proc
// shows its network namespace.
func setting(family, link, key, value string) error {
	path := "/proc/sys/net/" + family + "/conf/" + link + "/" + key
	have, err := os.ReadFile(path)
	if err == nil && strings.TrimSpace(string(have)) != value {
		err = os.WriteFile(path, []byte(value), 0)
	}
	if err != nil {
		return fmt.Errorf("setting net.%s.conf.%s.%s to %s: %w", family, link, key, value, err)
	}
	return nil
}

// Bridge reads the address and the MTU of the pods' bridge called name, which
// are those that the device needs. ok is false while the bridge has none.
func Bridge(name string) (s Settings, ok bool) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return Settings{}, false
	}
	addrs, err := netlink.AddrList(link, netlink.FAMILY_V4)
	if err != nil || len(addrs) == 0 {
		return Settings{}, false
	}
	addr, ok := netip.AddrFromSlice(addrs[0].IP.To4())
	bits, _ := addrs[0].Mask.Size()
	return Settings{Address: netip.PrefixFrom(addr, bits), MTU: link.Attrs().MTU}, ok
}

// Remove deletes the device called name if it is one of this kind. It may be
// repeated.
func Remove(name string) error {
	link, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for device %s: %w", name, err)
	}
	if link.Type() != "tuntap" {
		return nil // somebody else's
	}
	return netlink.LinkDel(link)
}
