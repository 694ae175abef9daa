package apilb

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/kedge-io/kedge/agent/loaddr"
	"github.com/kedge-io/kedge/agent/network/nft"
	"github.com/kedge-io/kedge/internal/lifecycle"
)

// label marks our address on lo.
const label = "lo:kedge-api"

var tableAPI = nft.Table{Family: "inet", Name: "kedge-api"}

func (c Config) serviceEndpoint() netip.AddrPort { return netip.AddrPortFrom(c.Service, servicePort) }

// ruleset is the body of table inet kedge-api. It turns port 443 of the
// service into the endpoint's, packet by packet: without connection tracking
// there is no NAT, and with it kube-proxy would lead the connection to a
// server's address that a node behind NAT cannot reach. A packet of the host
// passes output and then, on lo, prerouting, where the second rule finds its
// port rewritten already.
func ruleset(addr netip.Addr) string {
	const chain = `	chain %[1]s {
		type filter hook %[1]s priority raw; policy accept;
		ip daddr %[2]s tcp dport 443 tcp dport set %[3]d notrack comment "%[1]s: clients of the API"
		ip daddr %[2]s tcp dport %[3]d notrack comment "%[1]s: clients of the API, rewritten"
		ip saddr %[2]s tcp sport %[3]d tcp sport set 443 notrack comment "%[1]s: answers of the API"
		ip saddr %[2]s tcp sport 443 notrack comment "%[1]s: answers of the API, rewritten"
	}
`
	return fmt.Sprintf(chain, "prerouting", addr, servicePort) + fmt.Sprintf(chain, "output", addr, servicePort)
}

func (c Config) claim() loaddr.Claim {
	return loaddr.Claim{What: "kubernetes service", Addr: c.Service, Label: label, From: c.PodLink, Table: tableAPI, Rules: ruleset(c.Service)}
}

// keepService holds the service's address and rules in place until ctx ends.
func (e *Endpoint) keepService(ctx context.Context) {
	if !e.cfg.Service.IsValid() {
		return
	}
	claim := e.cfg.claim()
	failing := false
	for {
		err := claim.Ensure(ctx)
		if ctx.Err() != nil {
			return
		}
		if (err != nil) || failing {
			e.report(&e.service, err)
		}
		failing = err != nil
		if !lifecycle.Pause(ctx, keepEvery) {
			return
		}
	}
}

// RemoveAll takes away the service's address and the rules of this network
// namespace. It needs no running state, may be repeated, and goes on after an
// error.
func RemoveAll(ctx context.Context) error { return loaddr.Remove(ctx, label, tableAPI) }
