package hub

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/kedge-io/kedge/internal/quiet"
	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/mux"
	"github.com/kedge-io/kedge/tunnel/transport"
)

// Defaults of [Config].
const (
	DefaultWait   = 5 * time.Second
	DefaultRecent = 30 * time.Second
)

// Config is what a hub needs to know.
type Config struct {
	// ClientCAs returns the authorities of node certificates. It is called for
	// each connection, so that a rotated CA is taken without a restart.
	ClientCAs func() *x509.CertPool
	// Now gives the time that certificates are verified against; nil means
	// time.Now.
	Now func() time.Time
	// Admit, where set, may refuse a node whose certificate is valid, for
	// instance because it was replaced. Its error is sent to the node.
	Admit func(ctx context.Context, node tunnel.NodeName, cert *x509.Certificate) error
	// LocalNode is the server's own node, which is dialled directly; empty if
	// it has none.
	LocalNode tunnel.NodeName
	// LocalDial dials for LocalNode; nil means a net.Dialer.
	LocalDial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Wait is how long a dial waits for a node that is about to come back;
	// 0 means DefaultWait.
	Wait time.Duration
	// Recent is for how long after a loss, and after the start of the hub, a
	// node counts as about to come back; 0 means DefaultRecent.
	Recent time.Duration
	// Packet takes a packet (with its virtio_net_hdr) from a pod of the node; p
	// is valid during the call, which must not block. nil: no packets.
	Packet func(node tunnel.NodeName, p []byte)
	// Observe, where set, is told what happens to links.
	Observe Observer
	// Software is the kedge version, for people.
	Software string
	// Session is for each control session; its Dial must be nil.
	Session transport.Config
	// Lanes is for the lanes of each session; Dial, Packet, WantLane and
	// LaneDown are the hub's.
	Lanes mux.Config
	// ControlOnly leaves lanes out of what the hub offers, as its first version
	// did.
	ControlOnly bool
	// Handshakes and Queue bound the nodes that are being connected and those
	// that wait for it; 0 means DefaultHandshakes and DefaultQueue.
	Handshakes, Queue int
}

// Observer is told what happens to links. Calls come from any goroutine and
// must not block.
type Observer interface {
	// Up says that a node has a session; again, that it had one before, since
	// the hub started.
	Up(node tunnel.NodeName, again bool)
	// Down says that a node's session ended and no newer one is there.
	Down(node tunnel.NodeName, err error)
	// Dialled says how a dial through a node went and how long it took.
	Dialled(node tunnel.NodeName, err error, took time.Duration)
}

type nobody struct{}

func (nobody) Up(tunnel.NodeName, bool)                      {}
func (nobody) Down(tunnel.NodeName, error)                   {}
func (nobody) Dialled(tunnel.NodeName, error, time.Duration) {}

func (c Config) validate() error {
	var errs []error
	if c.ClientCAs == nil {
		errs = append(errs, errors.New("tunnel hub lacks the authorities of node certificates"))
	}
	if c.Session.Dial != nil || c.Lanes.Dial != nil {
		errs = append(errs, errors.New("tunnel hub must not dial for nodes"))
	}
	return errors.Join(errs...)
}

// Hub holds the sessions of all nodes. Its methods may be called at any time
// from any goroutine.
type Hub struct {
	cfg     Config
	log     *slog.Logger
	started time.Time
	wg      sync.WaitGroup
	refused *quiet.Log

	admission *admission
	// packets finds the link of a node without a lock, for each packet.
	packets sync.Map // tunnel.NodeName -> *link

	mu     sync.Mutex
	nodes  map[tunnel.NodeName]*node
	live   map[*link]struct{} // also those not yet proven
	next   uint64
	closed bool
}

// node is what the hub remembers of one node. Guarded by Hub.mu.
type node struct {
	link       *link     // nil while not connected
	order      uint64    // of the newest link; 0 if there was none
	lost       time.Time // when the latest link ended
	lastError  string
	reconnects int
	dialErrors map[tunnel.Refusal]int64
	// changed is closed and replaced whenever link is.
	changed chan struct{}
}

// New returns a hub that takes connections at once.
func New(cfg Config, log *slog.Logger) (*Hub, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.LocalDial == nil {
		cfg.LocalDial = (&net.Dialer{}).DialContext
	}
	if cfg.Wait == 0 {
		cfg.Wait = DefaultWait
	}
	if cfg.Recent == 0 {
		cfg.Recent = DefaultRecent
	}
	if cfg.Observe == nil {
		cfg.Observe = nobody{}
	}
	if cfg.Handshakes == 0 {
		cfg.Handshakes = DefaultHandshakes
	}
	if cfg.Queue == 0 {
		cfg.Queue = DefaultQueue
	}
	return &Hub{
		cfg: cfg, log: log.With("component", "tunnel-hub"), started: time.Now(), refused: quiet.New(time.Now),
		admission: newAdmission(cfg.Handshakes, cfg.Queue),
		nodes:     map[tunnel.NodeName]*node{}, live: map[*link]struct{}{},
	}, nil
}

// Close ends all sessions, refuses new ones and waits until all are gone.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed = true
	links := make([]*link, 0, len(h.live))
	for l := range h.live {
		links = append(links, l)
	}
	h.mu.Unlock()
	var wg sync.WaitGroup
	for _, l := range links {
		wg.Go(func() { l.close(errStopping) })
	}
	wg.Wait()
	h.wg.Wait()
}

var (
	errStopping  = errors.New("the server stops")
	errForgotten = errors.New("the node was deleted from the cluster")
)

// Disconnect ends the session of a node, for instance because the machine was
// replaced, and those that it is just making. It comes back if its certificate
// is still admitted.
func (h *Hub) Disconnect(name tunnel.NodeName, reason error) {
	h.mu.Lock()
	links := h.linksLocked(name)
	h.mu.Unlock()
	for _, l := range links {
		l.close(reason)
	}
}

// Forget ends the sessions of a node that was deleted and drops all that is
// known of it. Dials that wait for it end.
func (h *Hub) Forget(name tunnel.NodeName) {
	h.mu.Lock()
	links := h.linksLocked(name)
	if n := h.nodes[name]; n != nil {
		n.set(nil)
		delete(h.nodes, name)
	}
	h.packets.Delete(name)
	h.mu.Unlock()
	for _, l := range links {
		l.close(errForgotten)
	}
}

// linksLocked are all links of a node, also those not yet proven.
func (h *Hub) linksLocked(name tunnel.NodeName) (links []*link) {
	for l := range h.live {
		if l.node == name {
			links = append(links, l)
		}
	}
	return links
}

// SendPacket queues a copy of p for a pod of the node. It never waits: false
// says that the packet was dropped.
func (h *Hub) SendPacket(name tunnel.NodeName, p []byte) bool {
	l, ok := h.packets.Load(name)
	return ok && l.(*link).mux.SendPacket(p)
}

// common returns the capabilities that this hub and the other end have. All of
// them need lanes, whatever an end without lanes says.
func (h *Hub) common(peer transport.Hello) []string {
	if !peer.Has(transport.CapabilityLanes) {
		return nil
	}
	var both []string
	for _, word := range h.capabilities() {
		if peer.Has(word) {
			both = append(both, word)
		}
	}
	return both
}

func (h *Hub) capabilities() []string {
	if h.cfg.ControlOnly {
		return nil
	}
	words := []string{transport.CapabilityLanes, transport.CapabilityFirewall}
	if h.cfg.Packet != nil {
		words = append(words, transport.CapabilityRelay)
	}
	return words
}

// spawn runs f beside the links, unless the hub is closing.
func (h *Hub) spawn(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.wg.Go(f)
	}
}

func (h *Hub) nodeLocked(name tunnel.NodeName) *node {
	n := h.nodes[name]
	if n == nil {
		n = &node{changed: make(chan struct{})}
		h.nodes[name] = n
	}
	return n
}

// set changes the link of a node and wakes who waits for that.
func (n *node) set(l *link) {
	n.link = l
	close(n.changed)
	n.changed = make(chan struct{})
}

func notConnected(name tunnel.NodeName, lost time.Time, cause error) error {
	err := &tunnel.NotConnectedError{Node: name, LastSeen: lost}
	if cause == nil {
		return err
	}
	return fmt.Errorf("%w (%w)", err, cause)
}
