package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/kedge-io/kedge/agent/network/nft"
)

var tableDNS = nft.Table{Family: "inet", Name: "kedge-dns"}

// ruleset is the body of table inet kedge-dns. kube-proxy's chains
// cluster-ips-check are reached by packets of "ct state new" only
// (pkg/proxy/nftables/proxier.go of Kubernetes 1.36); untracked packets are in
// none of the states. It also keeps the many short flows of DNS out of the
// connection table.
func ruleset(addr netip.Addr) string {
	const chain = `	chain %[1]s {
		type filter hook %[1]s priority raw; policy accept;
		ip daddr %[2]s meta l4proto { tcp, udp } th dport 53 notrack comment "%[1]s: queries to the cluster DNS"
		ip saddr %[2]s meta l4proto { tcp, udp } th sport 53 notrack comment "%[1]s: answers of the cluster DNS"
	}
`
	return fmt.Sprintf(chain, "prerouting", addr) + fmt.Sprintf(chain, "output", addr)
}

// rules keeps the table as it should be. Not for concurrent use.
type rules struct {
	listing string // how nft printed the table that was applied
}

func (r *rules) ensure(ctx context.Context, addr netip.Addr) error {
	listing, err := nft.List(ctx, tableDNS)
	if err != nil && !errors.Is(err, nft.ErrMissing) {
		return err
	}
	if err == nil && listing == r.listing {
		return nil
	}
	body := ruleset(addr)
	if err := nft.Replace(ctx, tableDNS, body); err != nil {
		return err
	}
	if listing, err = nft.List(ctx, tableDNS); err != nil {
		return fmt.Errorf("reading back the rules of the cluster DNS: %w", err)
	}
	if !nft.SameRules(body, listing) {
		return fmt.Errorf("reading back nftables %s: the rules differ from those that were set:\n%s", tableDNS, listing)
	}
	r.listing = listing
	return nil
}
