package probe

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Port is the UDP port of probes, at the cluster address of both ends. It is
// the same at both, so that a stateful firewall takes what comes in for answers.
const Port = 6107

// first is when a new peer is probed: the caller has set the route by then.
const first = 200 * time.Millisecond

// rotateAfter is how many messages without a proof make the prober try the
// next way to a peer that may have several.
const rotateAfter = 3

// Path is a way to a peer that needs no relay.
type Path struct {
	// Gateway is the peer's own address on the link.
	Gateway netip.Addr
	// Link is the name of the host's link, Index its number in the kernel.
	Link  string
	Index int
	// MTU is the length in bytes of the longest packet that the path must carry.
	MTU int
}

// Peer is a node that may be near.
type Peer struct {
	Name string
	// Address is the node's cluster address, Key its public key.
	Address netip.Addr
	Key     []byte
	// Paths are the ways that may lead to it, the likeliest first; at least one.
	Paths []Path
	// Adopt is the gateway of a path that is taken for proven when the peer is
	// new to the prober; invalid for none.
	Adopt netip.Addr
}

// Conn sends and receives probes. Read and Write may be called at the same time.
type Conn interface {
	// Read returns the next packet, its sender and the number of the link over
	// which it came in. A *[Refused] names a peer at which nobody listens; after
	// any other error the connection is of no use.
	Read(b []byte) (n int, from netip.Addr, link int, err error)
	Write(b []byte, to netip.Addr) error
	// Resolve asks for the link address of a path's gateway, without waiting.
	Resolve(Path)
	Close() error
}

// Refused tells that the kernel at an address has nobody who listens.
type Refused struct{ By []netip.Addr }

// Error implements error.
func (*Refused) Error() string { return "nobody listens for probes" }

// Prober keeps looking for direct paths to the peers that it was told.
type Prober struct {
	key     Key
	log     *slog.Logger
	changed func()
	open    func(own netip.Addr) (Conn, error)
	run     uint64
	poke    chan struct{}

	mu    sync.Mutex
	own   netip.Addr
	conn  Conn
	peers map[netip.Addr]*target
}

type target struct {
	Peer
	*session
	choice int // index in Paths
	told   bool
}

// New makes a prober. Changed is called, without locks, when the result of
// [Prober.Direct] or of [Prober.Tried] is another one, and when the socket was
// lost, which the next Set opens again.
func New(key Key, log *slog.Logger, changed func()) *Prober {
	return &Prober{
		key: key, log: log, changed: changed, open: Listen, run: random(),
		poke: make(chan struct{}, 1), peers: map[netip.Addr]*target{},
	}
}

func random() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return binary.BigEndian.Uint64(b[:])
}

// Set replaces the node's own cluster address and its peers. Peers without a
// usable key or without paths are left out; the others keep what is known of
// them as long as key and chosen path are the same. It opens the socket, in the
// network namespace of the calling thread, when there is somebody to probe;
// after an error it is to be called again.
func (p *Prober) Set(own netip.Addr, peers []Peer) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if own != p.own {
		p.own = own
		p.closeLocked()
	}
	p.setPeers(peers)
	defer p.wake()
	if p.conn != nil || len(p.peers) == 0 {
		return nil
	}
	conn, err := p.open(own)
	if err != nil {
		return err
	}
	p.conn = conn
	return nil
}

func (p *Prober) setPeers(peers []Peer) {
	fresh := make(map[netip.Addr]*target, len(peers))
	for _, peer := range peers {
		if len(peer.Paths) == 0 {
			continue
		}
		if old := p.peers[peer.Address]; old != nil && old.Name == peer.Name && slices.Equal(old.Key, peer.Key) {
			if i := slices.Index(peer.Paths, old.path()); i >= 0 {
				old.Peer, old.choice = peer, i
				fresh[peer.Address] = old
				continue
			}
			peer.Adopt = netip.Addr{} // another path has to be proven anew
		}
		to, from, err := p.key.pair(peer.Key)
		if err != nil {
			continue
		}
		t := &target{Peer: peer, session: newSession(to, from, p.run, length(peer.Paths[0]), random)}
		t.next = time.Now().Add(first)
		if i := slices.IndexFunc(peer.Paths, func(path Path) bool { return path.Gateway == peer.Adopt }); i >= 0 {
			t.choice, t.told = i, true
			t.adopt(time.Now())
		}
		fresh[peer.Address] = t
	}
	p.peers = fresh
}

func length(path Path) int { return min(max(path.MTU-ipAndUDP, HeaderLength), MaxLength) }

func (t *target) path() Path { return t.Paths[t.choice] }

// Direct returns the proven paths by the names of the peers.
func (p *Prober) Direct() map[string]Path {
	return p.collect(func(t *target) bool { return t.up })
}

// Tried returns the paths that are being probed by the names of the peers.
// Probes must find them in the routing table that they use.
func (p *Prober) Tried() map[string]Path {
	return p.collect(func(*target) bool { return true })
}

func (p *Prober) collect(wanted func(*target) bool) map[string]Path {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[string]Path{}
	for _, t := range p.peers {
		if wanted(t) {
			out[t.Name] = t.path()
		}
	}
	return out
}

func (p *Prober) wake() {
	select {
	case p.poke <- struct{}{}:
	default:
	}
}

// Run probes until ctx ends.
func (p *Prober) Run(ctx context.Context) {
	var readers sync.WaitGroup
	defer readers.Wait()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.closeLocked()
	}()
	var reading Conn
	for {
		if conn := p.current(); conn != nil && conn != reading {
			reading = conn
			readers.Go(func() { p.read(conn) })
		}
		wait := p.tick(time.Now())
		select {
		case <-ctx.Done():
			return
		case <-p.poke:
		case <-time.After(wait):
		}
	}
}

func (p *Prober) current() Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conn
}

func (p *Prober) closeLocked() {
	if p.conn != nil {
		_ = p.conn.Close()
		p.conn = nil
	}
}

// tick sends what is due, gives up what is dead, and returns when the next of
// both is.
func (p *Prober) tick(now time.Time) time.Duration {
	p.mu.Lock()
	next, changed := now.Add(maxInterval), false
	for _, t := range p.peers {
		if p.conn != nil {
			if b := t.due(now); b != nil {
				if !t.up {
					p.conn.Resolve(t.path())
				}
				_ = p.conn.Write(b, t.Address) // what is lost is not proven
				changed = t.rotate() || changed
			}
		}
		end := t.expire(now)
		if end.After(now) { // else not sent for want of a socket
			next = minTime(next, end)
		}
		changed = p.tell(t) || changed
	}
	p.mu.Unlock()
	if changed {
		p.changed()
	}
	return next.Sub(now)
}

// rotate goes on to the next way to a peer that does not answer on this one.
func (t *target) rotate() bool {
	if t.up || len(t.Paths) < 2 || t.unproven%rotateAfter != 0 {
		return false
	}
	t.choice = (t.choice + 1) % len(t.Paths)
	t.full = length(t.path())
	return true
}

// tell logs a change of the path to a peer, and returns whether there is one.
func (p *Prober) tell(t *target) bool {
	if t.told == t.up {
		return false
	}
	t.told = t.up
	if t.up {
		p.log.Info("node is reached directly", "node", t.Name, "via", t.path().Gateway, "link", t.path().Link)
	} else {
		p.log.Info("node is reached over the relay, it does not answer in this site any more", "node", t.Name)
	}
	return true
}

func (p *Prober) read(conn Conn) {
	b := make([]byte, MaxLength+1)
	for {
		n, from, link, err := conn.Read(b)
		var refused *Refused
		switch {
		case errors.As(err, &refused):
			p.refused(refused.By)
		case err != nil:
			if p.lost(conn) {
				p.log.Warn("the socket for probes was lost", "error", err)
				p.changed()
			}
			return
		default:
			p.handle(conn, b[:n], from, link)
		}
	}
}

// lost forgets a socket, unless that was done already.
func (p *Prober) lost(conn Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != conn {
		return false
	}
	p.closeLocked()
	return true
}

func (p *Prober) handle(conn Conn, b []byte, from netip.Addr, link int) {
	p.mu.Lock()
	t := p.peers[from]
	if t == nil || !slices.ContainsFunc(t.Paths, func(path Path) bool { return path.Index == link }) {
		p.mu.Unlock()
		return
	}
	if answer := t.receive(time.Now(), b); answer != nil {
		_ = conn.Write(answer, from)
	}
	changed := p.tell(t)
	p.mu.Unlock()
	if changed {
		p.changed()
		p.wake()
	}
}

func (p *Prober) refused(by []netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, addr := range by {
		if t := p.peers[addr]; t != nil {
			t.refused(time.Now())
		}
	}
}
