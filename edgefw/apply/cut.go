package apply

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/edgefw/apply/conntrack"
	"github.com/kedge-io/kedge/edgefw/apply/sockets"
	"github.com/kedge-io/kedge/edgefw/model"
)

// Cut ends flows of the host and of its pods whose first packet may not live by
// the rules of now, and tells how many those were. A flow that is forwarded to
// somebody else has nothing to do with the node.
//
// Processes of the host lose their TCP sockets, too: what they send would make the
// kernel take up the connection again, seen from the wrong end.
func (k *Kernel) Cut(ctx context.Context, may func(model.Packet) bool) (int, error) {
	own, err := k.ends()
	if err != nil {
		return 0, err
	}
	table, err := conntrack.Open()
	if err != nil {
		return 0, fmt.Errorf("reaching the table of flows: %w", err)
	}
	defer table.Close() //nolint:errcheck // nothing was written to it
	processes, err := sockets.Open()
	if err != nil {
		return 0, err
	}
	defer processes.Close() //nolint:errcheck // as above
	flows, err := table.Flows()
	if err != nil {
		return 0, err
	}
	c, ended := cutter{own: own, may: may, table: table, processes: processes}, 0
	for _, f := range flows {
		if ctx.Err() != nil {
			return ended, ctx.Err()
		}
		done, err := c.cut(f)
		if done {
			ended++
		}
		if err != nil {
			return ended, err
		}
	}
	return ended, nil
}

// cutter ends flows one by one.
type cutter struct {
	own       ends
	may       func(model.Packet) bool
	table     *conntrack.Table
	processes *sockets.Sockets
}

// cut tells whether it has ended the flow.
func (c cutter) cut(f conntrack.Flow) (bool, error) {
	if c.own.mayLive(f, c.may) {
		return false, nil
	}
	socket, found, err := c.own.socket(f, c.processes)
	if err != nil {
		return false, err
	}
	// The first packets of kedge's own connections may have passed before there
	// were rules that note their mark, or before the kernel looked at flows at all:
	// then the first one that it saw may be the server's, and the flow seems to
	// come in.
	if f.Mark == model.LinkMark || found && socket.Mark == model.LinkMark {
		return false, nil
	}
	err = c.table.Delete(f)
	if err != nil && !errors.Is(err, conntrack.ErrGone) {
		return false, err
	}
	done := err == nil
	if !found {
		return done, nil
	}
	err = c.processes.Destroy(socket)
	if errors.Is(err, sockets.ErrGone) || errors.Is(err, sockets.ErrUnsupported) {
		return done, nil
	}
	return done, err
}

// socket is that of the process of the host that has the connection, if one has.
func (e ends) socket(f conntrack.Flow, processes *sockets.Sockets) (s sockets.Socket, found bool, err error) {
	local, remote := f.Peer, f.Seen
	if e.host[f.From.Addr()] {
		local, remote = f.From, f.To
	}
	if f.Protocol != unix.IPPROTO_TCP || !e.host[local.Addr()] {
		return s, false, nil
	}
	s, err = processes.Find(local, remote)
	if errors.Is(err, sockets.ErrGone) || errors.Is(err, sockets.ErrUnsupported) {
		return s, false, nil
	}
	return s, err == nil, err
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
	if e.host[f.Peer.Addr()] {
		return true // the host was asked by the address that was dialled
	}
	p.Direction, p.To = model.Ingress, f.Peer
	return may(p)
}
