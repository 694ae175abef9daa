package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/agent/network/nft"
	"github.com/kedge-io/kedge/internal/fsx"
)

// kernel applies plans in the network namespace of the calling thread. It
// remembers how the kernel printed the ruleset, to notice when somebody
// changes it. Not for concurrent use.
type kernel struct {
	body    string // ruleset that was applied
	listing string // how nft printed it
}

// apply brings the host to the plan: parts that are right are left alone, so
// it is also how a host is looked after. The CNI configuration comes last,
// since with it pods start.
func (k *kernel) apply(ctx context.Context, cfg Config, p Plan) error {
	err := ensureBridge(p.Bridge)
	if err != nil {
		return err
	}
	if err := ensureRelayMTU(p.RelayMTU); err != nil {
		return err
	}
	for _, s := range p.Sysctls {
		if err := ensureSysctl(s); err != nil {
			return err
		}
	}
	if err := k.ensureRuleset(ctx, p.Ruleset); err != nil {
		return err
	}
	if err := ensureForward(ctx, p.Forward); err != nil {
		return err
	}
	if err := ensureRoutes(unix.RT_TABLE_MAIN, p.Routes); err != nil {
		return err
	}
	if err := ensureProbeRoutes(p.Probes); err != nil {
		return err
	}
	for _, dir := range []string{cfg.ConfDir, cfg.StateDir} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making the CNI directory: %w", err)
		}
	}
	if _, err := fsx.WriteFileIfChanged(filepath.Join(cfg.ConfDir, conflistName), p.Conflist, 0o644); err != nil {
		return fmt.Errorf("writing the CNI configuration: %w", err)
	}
	return nil
}

func ensureSysctl(s Sysctl) error {
	path := filepath.Join("/proc/sys", s.Path)
	have, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading sysctl %s: %w", s.Path, err)
	}
	if strings.TrimSpace(string(have)) == s.Value {
		return nil
	}
	if err := os.WriteFile(path, []byte(s.Value), 0); err != nil {
		if errors.Is(err, fs.ErrPermission) || strings.Contains(err.Error(), "read-only") {
			return fmt.Errorf("setting sysctl %s to %s: run as root with a writable /proc/sys, or set it on the host: %w", s.Path, s.Value, err)
		}
		return fmt.Errorf("setting sysctl %s to %s: %w", s.Path, s.Value, err)
	}
	return nil
}

func (k *kernel) ensureRuleset(ctx context.Context, body string) error {
	listing, err := nft.List(ctx, tableNet)
	if err != nil && !errors.Is(err, nft.ErrMissing) {
		return err
	}
	if err == nil && body == k.body && listing == k.listing {
		return nil
	}
	if err := nft.Replace(ctx, tableNet, body); err != nil {
		return err
	}
	listing, err = nft.List(ctx, tableNet)
	if err != nil {
		return fmt.Errorf("reading back the masquerading rules: %w", err)
	}
	if !nft.SameRules(body, listing) {
		return fmt.Errorf("reading back nftables %s: the rules differ from those that were set:\n%s", tableNet, listing)
	}
	k.body, k.listing = body, listing
	return nil
}

// observe reads the facts of the host itself, which are all but those that the
// cluster knows.
func observe() (Facts, error) {
	var f Facts
	links, err := netlink.LinkList()
	if err != nil {
		return f, fmt.Errorf("listing the host's links: %w", err)
	}
	byIndex := map[int]netlink.Link{}
	for _, link := range links {
		attrs := link.Attrs()
		byIndex[attrs.Index] = link
		if attrs.Name == RelayName {
			f.Relay = attrs.Flags&net.FlagUp != 0
		}
		if attrs.Name == "lo" || attrs.Name == BridgeName || attrs.Name == RelayName {
			continue
		}
		addrs, err := netlink.AddrList(link, netlink.FAMILY_V4)
		if err != nil {
			return f, fmt.Errorf("listing the addresses of link %s: %w", attrs.Name, err)
		}
		u := Uplink{Name: attrs.Name, Index: attrs.Index, MTU: attrs.MTU}
		for _, a := range addrs {
			if own, ok := prefixOf(a.IPNet); ok {
				u.Addresses = append(u.Addresses, own)
			}
		}
		if len(u.Addresses) > 0 {
			f.Uplinks = append(f.Uplinks, u)
		}
	}
	filter, err := os.ReadFile("/proc/sys/net/bridge/bridge-nf-call-iptables")
	f.BridgeFilter = err == nil && strings.TrimSpace(string(filter)) == "1"
	f.Default, f.MTU, err = defaultRoute(byIndex)
	return f, err
}

// defaultRoute returns the device of the preferred default route and the
// smallest MTU among those of all default routes.
func defaultRoute(links map[int]netlink.Link) (name string, mtu int, err error) {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return "", 0, fmt.Errorf("listing the host's routes: %w", err)
	}
	metric := math.MaxInt
	for _, r := range routes {
		if dst, ok := prefixOf(r.Dst); ok && dst != netip.PrefixFrom(netip.IPv4Unspecified(), 0) {
			continue
		}
		link := links[r.LinkIndex]
		if link == nil {
			continue
		}
		if mtu == 0 || link.Attrs().MTU < mtu {
			mtu = link.Attrs().MTU
		}
		if r.Priority < metric {
			name, metric = link.Attrs().Name, r.Priority
		}
	}
	return name, mtu, nil
}
