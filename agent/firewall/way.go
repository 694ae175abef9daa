package firewall

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/tunnel/sock"
)

const (
	// dialLimit bounds one TCP connection to a server.
	dialLimit = 10 * time.Second
	// maxServers bounds the addresses that are remembered; the latest stay.
	maxServers = 16
	// keepServer is for how long an address counts where nothing was dialled with
	// success.
	keepServer = 7 * 24 * time.Hour
)

// Way makes the sockets by which kedge reaches its servers, and remembers where
// they went. Its methods may be called from any goroutine.
type Way struct {
	dialer   *net.Dialer
	resolver *net.Resolver
	changed  chan struct{}

	mu   sync.Mutex
	seen map[netip.AddrPort]time.Time
}

// NewWay returns a way that knows no server.
func NewWay() *Way {
	return &Way{
		dialer: sock.Marked(model.LinkMark, dialLimit), resolver: sock.MarkedResolver(model.LinkMark, dialLimit),
		changed: make(chan struct{}, 1), seen: map[netip.AddrPort]time.Time{},
	}
}

// Dial connects to an address of a server, or of a proxy on the way, with the mark
// of the link.
func (w *Way) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := w.dialer.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if to, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil {
		w.note(netip.AddrPortFrom(to.Addr().Unmap().WithZone(""), to.Port()))
	}
	return conn, nil
}

// Lookup asks the host's resolvers for the addresses of a name, with the mark of
// the link.
func (w *Way) Lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	return w.resolver.LookupNetIP(ctx, "ip", host)
}

// note remembers where somebody answered.
func (w *Way) note(servers ...netip.AddrPort) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range servers {
		if s.Addr().IsLoopback() {
			continue // the server's own node, or a proxy on this machine
		}
		if _, ok := w.seen[s]; !ok {
			select {
			case w.changed <- struct{}{}:
			default:
			}
		}
		w.seen[s] = time.Now()
	}
	for _, old := range w.latest()[min(len(w.seen), maxServers):] {
		delete(w.seen, old)
	}
}

// latest are the addresses, the latest first. w.mu is held.
func (w *Way) latest() []netip.AddrPort {
	var all []netip.AddrPort
	for s, at := range w.seen {
		if time.Since(at) > keepServer {
			delete(w.seen, s)
			continue
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b netip.AddrPort) int { return cmp.Or(w.seen[b].Compare(w.seen[a]), a.Compare(b)) })
	return all
}

// Servers are the addresses that count, sorted.
func (w *Way) Servers() []netip.AddrPort {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.latest()
	slices.SortFunc(all, netip.AddrPort.Compare)
	return all
}
