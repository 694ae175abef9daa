package network

import (
	"context"
	"errors"
	"net/netip"
	"regexp"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/kedge-io/kedge/agent/network/nft"
)

// proxyTables are kube-proxy's in its nftables mode (pkg/proxy/nftables of
// Kubernetes). kube-proxy runs only as a part of kedge on a kedge node.
var proxyTables = []nft.Table{{Family: "ip", Name: "kube-proxy"}, {Family: "ip6", Name: "kube-proxy"}}

// portmapTables are those of the CNI plugin portmap, which another container
// engine of the host may share.
var portmapTables = []nft.Table{{Family: "ip", Name: "cni_hostport"}, {Family: "ip6", Name: "cni_hostport"}}

// RemoveAll takes away the pod network of this network namespace: the bridge
// and the pods' links, our routes, our nftables tables and those of kube-proxy,
// our port mappings and our chain in iptables. It needs no running state, may
// be repeated, and goes on after an error. Files are left to the owner of the
// data directory.
func RemoveAll(ctx context.Context) error {
	return errors.Join(
		removePortMappings(ctx), // needs the bridge's address
		removeRoutes(),
		ensureProbeRoutes(nil),
		removeLinks(),
		removeForward(ctx),
		nft.Delete(ctx, append([]nft.Table{tableNet}, proxyTables...)...),
	)
}

// removePortMappings deletes the mappings to pods of the bridge, and the
// plugin's table when nothing else is left in it.
func removePortMappings(ctx context.Context) error {
	pods := bridgeRange()
	var errs []error
	for _, table := range portmapTables {
		listing, err := nft.ListHandles(ctx, table)
		if errors.Is(err, nft.ErrMissing) {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		own, foreign := portMappings(listing, pods)
		if !foreign {
			errs = append(errs, nft.Delete(ctx, table))
			continue
		}
		for _, r := range own {
			errs = append(errs, nft.DeleteRule(ctx, table, r.chain, r.handle))
		}
	}
	return errors.Join(errs...)
}

func bridgeRange() netip.Prefix {
	link, err := netlink.LinkByName(BridgeName)
	if err != nil {
		return netip.Prefix{}
	}
	addrs, err := netlink.AddrList(link, netlink.FAMILY_V4)
	if err != nil || len(addrs) == 0 {
		return netip.Prefix{}
	}
	p, _ := prefixOf(addrs[0].IPNet)
	return p.Masked()
}

type mappingRule struct{ chain, handle string }

var (
	chainLine = regexp.MustCompile(`^\s*chain (\S+) \{`)
	// The plugin puts the container's ID as a comment on the rules of one pod.
	podRule  = regexp.MustCompile(`(?:dnat to|daddr) (\d+\.\d+\.\d+\.\d+)(?::\d+)?(?: masquerade)? comment "[^"]*" # handle (\d+)`)
	anyRule  = regexp.MustCompile(`comment "[^"]*" # handle \d+`)
	tableTop = regexp.MustCompile(`^\s*comment "`)
)

// portMappings finds in a listing with handles the rules for pods of the given
// range, and tells whether there are rules for others.
func portMappings(listing string, pods netip.Prefix) (own []mappingRule, foreign bool) {
	chain := ""
	for line := range strings.Lines(listing) {
		if m := chainLine.FindStringSubmatch(line); m != nil {
			chain = m[1]
			continue
		}
		if tableTop.MatchString(line) || !anyRule.MatchString(line) {
			continue
		}
		m := podRule.FindStringSubmatch(line)
		if m == nil {
			foreign = true
			continue
		}
		if addr, err := netip.ParseAddr(m[1]); err == nil && pods.IsValid() && pods.Contains(addr) {
			own = append(own, mappingRule{chain, m[2]})
		} else {
			foreign = true
		}
	}
	return own, foreign
}
