package apply

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/kedge-io/kedge/edgefw/apply/conntrack"
	"github.com/kedge-io/kedge/edgefw/model"
)

// Cut ends flows of the host and of its pods whose first packet may not live by
// the rules of now, and tells how many those were. A flow that is forwarded to
// somebody else has nothing to do with the node.
func (k *Kernel) Cut(ctx context.Context, may func(model.Packet) bool) (int, error) {
	table, err := conntrack.Open()
	if err != nil {
		return 0, fmt.Errorf("reaching the table of flows: %w", err)
	}
	defer table.Close() //nolint:errcheck // nothing was written to it
	flows, err := table.Flows()
	if err != nil {
		return 0, err
	}
	own, err := k.ends()
	if err != nil {
		return 0, err
	}
	ended := 0
	for _, f := range flows {
		if ctx.Err() != nil {
			return ended, ctx.Err()
		}
		if own.mayLive(f, may) {
			continue
		}
		switch err := table.Delete(f); {
		case err == nil:
			ended++
		case !errors.Is(err, conntrack.ErrGone):
			return ended, err
		}
	}
	return ended, nil
}

// ends are the addresses by which flows are the node's.
type ends struct {
	host, pods map[netip.Addr]bool
	services   netip.Prefix
}

func (k *Kernel) ends() (ends, error) {
	e := ends{host: map[netip.Addr]bool{}, pods: map[netip.Addr]bool{}}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return e, fmt.Errorf("listing the machine's addresses: %w", err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			e.host[p.Addr().Unmap()] = true
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.wish == nil {
		return e, nil
	}
	e.services = k.wish.Facts.Services
	for _, list := range k.wish.Local.Pods {
		for _, a := range list {
			e.pods[a.Unmap()] = true
		}
	}
	return e, nil
}

// mayLive asks for each place where the kernel asks: the host's rules see the
// address that was dialled, policies see the pod behind it.
func (e ends) mayLive(f conntrack.Flow, may func(model.Packet) bool) bool {
	p := model.Packet{Protocol: protocol(f.Protocol), From: f.From, To: f.To, Mark: f.Mark, ICMPType: f.ICMPType}
	from, to := f.From.Addr(), f.To.Addr()
	switch {
	case e.host[from] && (e.host[to] || to.IsLoopback()):
		return true
	case e.host[from]:
		p.Direction = model.Egress
		return may(p)
	case e.host[to] || e.services.IsValid() && e.services.Contains(to) && !e.pods[from]:
		p.Direction = model.Ingress
		if !may(p) {
			return false
		}
	}
	if !e.pods[from] && !e.pods[f.Peer.Addr()] {
		return true
	}
	p.Direction, p.To = model.Ingress, f.Peer
	return may(p)
}
