package spoke

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/internal/quiet"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/access"
	"github.com/kedge-io/kedge/tunnel/mux"
	"github.com/kedge-io/kedge/tunnel/transport"
)

// Component is the name of the spoke in logs and health.
const Component = "tunnel"

const (
	backoffFirst = 500 * time.Millisecond
	backoffMax   = 15 * time.Second
	// stableAfter is how long a session must have been ready for the next
	// retry to be immediate again. Two machines with one certificate would
	// otherwise throw each other out without a pause.
	stableAfter = 10 * time.Second
	// admitTimeout bounds the wait for the server's proof.
	admitTimeout = 15 * time.Second
)

// Config is what a spoke needs to know.
type Config struct {
	// Server is the server's https URL as the user gave it.
	Server string
	// CAFile, CertFile and KeyFile are PEM files, read at each attempt: the
	// server's CA, and the node's client certificate with its key.
	CAFile, CertFile, KeyFile string
	// Rules returns what may be dialled now. It is called for each dial.
	Rules func() access.Rules
	// Proxy picks a proxy as in http.Transport; nil means none.
	Proxy func(*http.Request) (*url.URL, error)
	// NetDial makes TCP connections to the server or the proxy; nil means a
	// net.Dialer.
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Now gives the time that the server's certificate is verified against;
	// nil means time.Now.
	Now func() time.Time
	// Report, where set, is told of trouble with the link and, with nil, when
	// it is over. It must not block.
	Report func(error)
	// Software is the kedge version, for people.
	Software string
	// Packet takes a packet (with its virtio_net_hdr) for a pod of this node; p
	// is valid during the call, which must not block. nil: no relay lane.
	Packet func(p []byte)
	// Status answers the server's questions about the node, GET only; nil refuses
	// them. Its requests come one at a time on each stream.
	Status http.Handler
	// Firewall serves the server's stream about the edge firewall until the
	// stream or ctx, which is the session's, ends; nil tells the server that there
	// is no firewall here. A newer stream may begin before an older one has ended.
	Firewall func(ctx context.Context, stream net.Conn)
	// Session is for each control session; its Dial is set by the spoke.
	Session transport.Config
	// Lanes is for the lanes of each session; Dial, Packet, WantLane and
	// LaneDown are set by the spoke.
	Lanes mux.Config
	// ControlOnly leaves lanes out of what the node offers, as its first
	// version did.
	ControlOnly bool
}

func (c Config) validate() (string, error) {
	var errs []error
	if c.Rules == nil {
		errs = append(errs, errors.New("tunnel spoke lacks its access rules"))
	}
	if c.CAFile == "" || c.CertFile == "" || c.KeyFile == "" {
		errs = append(errs, errors.New("tunnel spoke lacks the path of the server CA, its certificate or its key"))
	}
	u, err := url.Parse(c.Server)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		errs = append(errs, fmt.Errorf("server URL %q is not of the form https://HOST:PORT", c.Server))
		return "", errors.Join(errs...)
	}
	link := url.URL{Scheme: "wss", Host: u.Host, Path: wire.PathConnect}
	return link.String(), errors.Join(errs...)
}

// Spoke keeps the link of this node to one server.
type Spoke struct {
	cfg Config
	url string
	log *slog.Logger

	mu     sync.Mutex
	status Status
	// lastKind is the kind of the latest trouble.
	lastKind string
	// session is the current one, for figures; nil while there is none.
	session *transport.Session

	lanes   atomic.Pointer[lanes] // nil while there are none
	refused *quiet.Log
	benches atomic.Int32
	asking  atomic.Int32
	// firewalls counts streams of the edge firewall, serving those who serve them.
	firewalls atomic.Int32
	serving   sync.WaitGroup
}

// Status is the state of the link as the node sees it.
type Status struct {
	State tunnel.State `json:"state"`
	// Server is the URL of the link.
	Server string `json:"server"`
	// Since is when the state was entered.
	Since time.Time `json:"since"`
	// Reconnects counts the times that the link was ready after the first.
	Reconnects int `json:"reconnects"`
	// Streams, RTT and the bytes are those of the current session, over all
	// lanes; RTT that of the interactive lane where there is one.
	Streams  int           `json:"streams"`
	RTT      time.Duration `json:"rtt"`
	BytesIn  int64         `json:"bytesIn"`
	BytesOut int64         `json:"bytesOut"`
	// Bytes is the same by class, lanes that are gone included.
	Bytes map[tunnel.Lane]tunnel.Traffic `json:"bytes,omitempty"`
	// Lanes are those that are up, the control lane first.
	Lanes []tunnel.LaneStatus `json:"lanes,omitempty"`
	// Capabilities are those that both ends have.
	Capabilities []string `json:"capabilities,omitempty"`
	// PacketsIn go to pods of this node, PacketsOut come from them, in this
	// session; PacketsDropped could not be sent in time.
	PacketsIn      int64 `json:"packetsIn"`
	PacketsOut     int64 `json:"packetsOut"`
	PacketsDropped int64 `json:"packetsDropped"`
	// Software is what the server says it runs.
	Software string `json:"software,omitempty"`
	// LastError stays when the trouble is over.
	LastError string `json:"lastError,omitempty"`
}

// New checks cfg and returns a spoke that does nothing until Run.
func New(cfg Config, log *slog.Logger) (*Spoke, error) {
	link, err := cfg.validate()
	if err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Report == nil {
		cfg.Report = func(error) {}
	}
	return &Spoke{
		cfg: cfg, url: link, log: log.With("component", Component, "server", link),
		refused: quiet.New(time.Now),
		status:  Status{State: tunnel.StateWaiting, Server: link, Since: time.Now()},
	}, nil
}

// Component returns the spoke for a group.
func (s *Spoke) Component(needs ...string) lifecycle.Component {
	return lifecycle.Component{Name: Component, Needs: needs, Run: s.Run}
}

// Run keeps the link until ctx ends. It calls ready when the server has dialled
// through the link for the first time.
func (s *Spoke) Run(ctx context.Context, ready func()) error {
	defer s.enter(tunnel.StateStopped)
	defer s.serving.Wait()
	var once sync.Once
	attempt := 0
	for ctx.Err() == nil {
		lasted, err := s.once(ctx, func() { once.Do(ready) })
		if ctx.Err() != nil {
			break
		}
		if lasted >= stableAfter && !errors.Is(err, transport.ErrReplaced) {
			attempt = 0
		}
		s.trouble(err, lasted > 0)
		s.enter(tunnel.StateWaiting)
		select {
		case <-time.After(pause(attempt, err, rand.N)):
		case <-ctx.Done():
		}
		attempt++
	}
	return nil
}

// backoff is how long to wait before the retry with this number: the first
// comes at once, the others anywhere (full jitter) below a bound that doubles.
func backoff(attempt int, random func(time.Duration) time.Duration) time.Duration {
	if attempt == 0 {
		return 0
	}
	bound := backoffMax
	if attempt < 6 {
		bound = min(bound, backoffFirst<<(attempt-1))
	}
	return random(bound) + time.Millisecond
}

// pause is backoff, or what the server asked for and as much again at most: it
// asks that of many at a time.
func pause(attempt int, err error, random func(time.Duration) time.Duration) time.Duration {
	wait := backoff(attempt, random)
	var refused *tunnel.RefusedError
	if errors.As(err, &refused) && refused.RetryAfter > 0 {
		wait = max(wait, refused.RetryAfter+random(refused.RetryAfter))
	}
	return wait
}

// once makes one session and holds it to its end. It returns for how long the
// session was ready, and why it ended or did not begin.
func (s *Spoke) once(ctx context.Context, ready func()) (time.Duration, error) {
	s.enter(tunnel.StateConnecting)
	admitted := make(chan *transport.Grant, 1)
	tickets := newTickets()
	session, err := s.connect(ctx, tickets, admitted)
	if err != nil {
		return 0, err
	}
	s.hold(session)
	defer s.hold(nil)
	defer context.AfterFunc(ctx, func() { session.Close(errStopping) })()
	s.enter(tunnel.StateProving)
	timeout := time.NewTimer(admitTimeout)
	defer timeout.Stop()
	var grant *transport.Grant
	select {
	case grant = <-admitted:
	case <-session.Done():
		return 0, session.Err()
	case <-timeout.C:
		session.Close(fmt.Errorf("the server did not dial through the tunnel within %v", admitTimeout))
		<-session.Done()
		return 0, session.Err()
	}
	since := time.Now()
	if grant != nil {
		k := s.newLanes(session.Peer(), grant, tickets)
		s.lanes.Store(k)
		defer func() {
			s.lanes.Store(nil)
			k.close(session.Err())
		}()
	}
	s.up()
	ready()
	watch(session)
	return time.Since(since), session.Err()
}

var errStopping = errors.New("the node's agent stops")

func (s *Spoke) hold(session *transport.Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session = session
}

func (s *Spoke) enter(state tunnel.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.State, s.status.Since = state, time.Now()
}

func (s *Spoke) up() {
	s.mu.Lock()
	again := s.status.LastError != ""
	s.status.State, s.status.Since = tunnel.StateReady, time.Now()
	s.mu.Unlock()
	s.log.Info("tunnel up", "again", again)
	s.cfg.Report(nil)
}

// trouble logs when a link that was up goes down and when attempts fail for a
// new kind of reason, not each attempt.
func (s *Spoke) trouble(err error, wasUp bool) {
	s.mu.Lock()
	news := s.status.LastError == "" || kind(err) != s.lastKind
	s.lastKind = kind(err)
	if wasUp {
		// That nobody answers next is no news.
		s.lastKind = unreachable
	}
	s.status.LastError = err.Error()
	if wasUp {
		s.status.Reconnects++
	}
	s.mu.Unlock()
	switch {
	case wasUp:
		s.log.Warn("tunnel down", "error", err)
	case news:
		s.log.Warn("tunnel cannot be made, trying on", "error", err)
	}
	s.cfg.Report(fmt.Errorf("tunnel to %s: %w", s.url, err))
}

// unreachable is the kind of a server that gave no answer, or that is starting,
// stopping or too busy.
const unreachable = "unreachable"

// kind is the part of an error that stays the same between attempts.
func kind(err error) string {
	var refused *tunnel.RefusedError
	if errors.As(err, &refused) && refused.Kind != tunnel.RefusedOverload {
		return string(refused.Kind) + refused.Reason
	}
	return unreachable
}
