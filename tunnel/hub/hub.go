package hub

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kedge-io/kedge/internal/quiet"
	"github.com/kedge-io/kedge/tunnel"
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
	// Software is the kedge version, for people.
	Software string
	// Session is for each session; its Dial must be nil.
	Session transport.Config
}

func (c Config) validate() error {
	var errs []error
	if c.ClientCAs == nil {
		errs = append(errs, errors.New("tunnel hub lacks the authorities of node certificates"))
	}
	if c.Session.Dial != nil {
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

	mu     sync.Mutex
	nodes  map[tunnel.NodeName]*node
	live   map[*transport.Session]struct{} // also those not yet proven
	next   uint64
	closed bool
}

// node is what the hub remembers of one node. Guarded by Hub.mu.
type node struct {
	session    *transport.Session // nil while not connected
	order      uint64             // of session: later connections have higher ones
	lost       time.Time          // when the latest session ended
	lastError  string
	reconnects int
	// changed is closed and replaced whenever session is.
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
	return &Hub{
		cfg: cfg, log: log.With("component", "tunnel-hub"), started: time.Now(), refused: quiet.New(time.Now),
		nodes: map[tunnel.NodeName]*node{}, live: map[*transport.Session]struct{}{},
	}, nil
}

// Close ends all sessions, refuses new ones and waits until all are gone.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed = true
	sessions := make([]*transport.Session, 0, len(h.live))
	for s := range h.live {
		sessions = append(sessions, s)
	}
	h.mu.Unlock()
	var wg sync.WaitGroup
	for _, s := range sessions {
		wg.Go(func() { s.Close(errStopping) })
	}
	wg.Wait()
	h.wg.Wait()
}

var errStopping = errors.New("the server stops")

// Disconnect ends the session of a node, for instance because the node was
// deleted or replaced. It comes back if its certificate is still admitted.
func (h *Hub) Disconnect(name tunnel.NodeName, reason error) {
	h.mu.Lock()
	var s *transport.Session
	if n := h.nodes[name]; n != nil {
		s = n.session
	}
	h.mu.Unlock()
	if s != nil {
		s.Close(reason)
	}
}

// NodeStatus is the state of one node's link.
type NodeStatus struct {
	Node      tunnel.NodeName `json:"node"`
	Connected bool            `json:"connected"`
	// RemoteAddr is where the connection comes from, as this server sees it.
	RemoteAddr string `json:"remoteAddr,omitempty"`
	// Since is when the session began or, if not connected, when it ended.
	Since time.Time `json:"since"`
	// Streams is how many are open now.
	Streams int `json:"streams"`
	// RTT is the latest measured round trip in nanoseconds; 0 while unknown.
	RTT time.Duration `json:"rtt"`
	// Reconnects counts the sessions after the first, since the hub started.
	Reconnects int `json:"reconnects"`
	// BytesIn comes from the node, BytesOut goes to it, in this session.
	BytesIn  int64 `json:"bytesIn"`
	BytesOut int64 `json:"bytesOut"`
	// Software is what the node says it runs.
	Software  string `json:"software,omitempty"`
	LastError string `json:"lastError,omitempty"`
}

// Status returns every node that connected since the hub started, by name.
func (h *Hub) Status() []NodeStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]NodeStatus, 0, len(h.nodes))
	for name, n := range h.nodes {
		st := NodeStatus{Node: name, Since: n.lost, Reconnects: n.reconnects, LastError: n.lastError}
		if s := n.session; s != nil {
			stats := s.Stats()
			st.Connected, st.RemoteAddr, st.Since = true, s.RemoteAddr().String(), s.Since()
			st.Streams, st.RTT, st.BytesIn, st.BytesOut = stats.Streams, stats.RTT, stats.BytesIn, stats.BytesOut
			st.Software = s.Peer().Software
		}
		list = append(list, st)
	}
	slices.SortFunc(list, func(a, b NodeStatus) int { return strings.Compare(string(a.Node), string(b.Node)) })
	return list
}

func (h *Hub) nodeLocked(name tunnel.NodeName) *node {
	n := h.nodes[name]
	if n == nil {
		n = &node{changed: make(chan struct{})}
		h.nodes[name] = n
	}
	return n
}

// set changes the session of a node and wakes who waits for that.
func (n *node) set(s *transport.Session) {
	n.session = s
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
