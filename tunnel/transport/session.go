package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rancher/remotedialer"

	"github.com/kedge-io/kedge/tunnel"
)

// Defaults of [Config].
const (
	DefaultPing        = 2 * time.Second
	DefaultSilence     = 5 * time.Second
	DefaultMaxSilence  = 20 * time.Second
	DefaultMaxStreams  = 1024
	DefaultMaxBuffered = 64 << 20
	DefaultDialTimeout = 15 * time.Second
)

// maxMessage bounds one websocket message, in bytes: a frame and the header of
// remotedialer's own message, with room.
const maxMessage = maxData + 4<<10

// Config is what both ends of a session have.
type Config struct {
	// Dial answers the other end's dials; nil refuses them by ending the
	// session. Its error text is sent to the other end.
	Dial tunnel.DialFunc
	// Ping is the interval of pings; 0 means DefaultPing.
	Ping time.Duration
	// Silence is how long the other end of a good link may be silent (no byte
	// at all) before the session ends; 0 means DefaultSilence. It must be well
	// above Ping.
	Silence time.Duration
	// MaxSilence is the same on the slowest link; 0 means DefaultMaxSilence, or
	// Silence where that is more.
	MaxSilence time.Duration
	// MaxStreams bounds the open streams; 0 means DefaultMaxStreams.
	MaxStreams int
	// MaxBuffered bounds the unread bytes of all streams; what comes beyond
	// ends the stream that it came on. 0 means DefaultMaxBuffered.
	MaxBuffered int
	// DialTimeout bounds one dial; 0 means DefaultDialTimeout.
	DialTimeout time.Duration

	// listens is set at the end whose other end pings without being asked.
	listens bool
}

func (c Config) withDefaults() Config {
	if c.Ping == 0 {
		c.Ping = DefaultPing
	}
	if c.Silence == 0 {
		c.Silence = DefaultSilence
	}
	if c.MaxSilence == 0 {
		c.MaxSilence = max(DefaultMaxSilence, c.Silence)
	}
	if c.MaxStreams == 0 {
		c.MaxStreams = DefaultMaxStreams
	}
	if c.MaxBuffered == 0 {
		c.MaxBuffered = DefaultMaxBuffered
	}
	if c.DialTimeout == 0 {
		c.DialTimeout = DefaultDialTimeout
	}
	return c
}

// Session is one live connection to the other end. All methods may be called
// at any time from any goroutine.
type Session struct {
	cfg  Config
	name string
	peer Hello
	ws   *websocket.Conn
	conn *meter
	rd   *remotedialer.Session
	live *liveness

	control   control
	ctx       context.Context
	cancel    context.CancelFunc
	started   time.Time
	closeOnce sync.Once
	wg        sync.WaitGroup
	done      chan struct{}

	mu      sync.Mutex
	streams map[*stream]struct{}
	unread  atomic.Int64 // bytes that all streams hold
	over    bool
	err     error // why the session ended; the first cause wins
	finally func()
}

// Stats are figures of a session.
type Stats struct {
	// Streams is how many are open now.
	Streams int
	// RTT is the latest measured round trip, SmoothedRTT its moving mean; 0
	// while unknown.
	RTT, SmoothedRTT time.Duration
	// BytesIn and BytesOut count what the connection carried, with framing.
	BytesIn, BytesOut int64
	// LastHeard is when the latest byte of the other end came.
	LastHeard time.Time
}

// start runs a session over ws, whose bytes pass through conn. The name is
// that of the other end.
func start(name string, peer Hello, ws *websocket.Conn, conn *meter, cfg Config) *Session {
	s := &Session{
		cfg: cfg, name: name, peer: peer, ws: ws, conn: conn,
		started: time.Now(), done: make(chan struct{}), streams: map[*stream]struct{}{},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	ws.SetReadLimit(maxMessage)
	allow := func(string, string) bool { return cfg.Dial != nil }
	s.rd = remotedialer.NewClientSessionWithDialer(allow, ws, s.incoming)
	// After remotedialer, which sets handlers of its own.
	s.live = newLiveness(ws, conn, cfg)
	s.live.idle = func() bool { return s.Stats().Streams == 0 }
	s.live.fail = s.Close
	if cfg.listens && peer.Has(CapabilityLanes) {
		s.live.every = measureEvery * cfg.Ping
	}
	s.live.start()
	go s.serve()
	return s
}

// serve reads the websocket until it ends and then ends everything else.
func (s *Session) serve() {
	// A context that is over keeps remotedialer's pings and lists off; it has
	// no other effect on reading, and our streams have their own context.
	off, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := s.rd.Serve(off)
	s.Close(s.cause(err))
	s.conn.cut()

	s.mu.Lock()
	s.over = true
	reason := s.err
	streams := make([]*stream, 0, len(s.streams))
	for st := range s.streams {
		streams = append(streams, st)
	}
	s.mu.Unlock()
	for _, st := range streams {
		st.fail(reason)
	}
	// After the streams, which tell an end by failure from others.
	s.cancel()
	s.rd.Close()
	s.control.stop()
	s.live.stop()
	s.wg.Wait()
	close(s.done)
	s.mu.Lock()
	f := s.finally
	s.finally = nil
	s.mu.Unlock()
	if f != nil {
		f()
	}
}

// cause puts the end of the websocket into words.
func (s *Session) cause(err error) error {
	var closed *websocket.CloseError
	switch {
	case errors.As(err, &closed) && closed.Code == closeReplaced:
		return ErrReplaced
	case errors.As(err, &closed) && closed.Text != "":
		return fmt.Errorf("the other end closed the link: %s", printable(closed.Text))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("nothing heard from the other end for %v", s.conn.limit())
	}
	return err
}

// ErrReplaced says that a newer session of the same node took over.
var ErrReplaced = errors.New("replaced by a newer session of the same node")

// Codes of the websocket close frame, from the range for private use.
const (
	closeOther    = 4000
	closeReplaced = 4001
)

// closeGrace bounds the writing of a close frame and the wait for its answer.
const closeGrace = 500 * time.Millisecond

// Close ends the session, tells the other end why if the link still takes it
// within half a second, and ends every stream with the reason. It returns
// before all is torn down; see Done.
func (s *Session) Close(reason error) {
	s.closeOnce.Do(func() {
		s.mu.Lock()
		s.err = fmt.Errorf("%w: %w", tunnel.ErrSessionClosed, reason)
		s.mu.Unlock()
		code, text := closeOther, reason.Error()
		if errors.Is(reason, ErrReplaced) {
			code = closeReplaced
		}
		message := websocket.FormatCloseMessage(code, text[:min(len(text), 120)])
		if err := s.ws.WriteControl(websocket.CloseMessage, message, time.Now().Add(closeGrace)); err != nil {
			s.conn.cut()
			return
		}
		// A cut with unread bytes resets the connection, and the other end
		// would not see why. It answers the close frame, which ends serve.
		time.AfterFunc(closeGrace, s.conn.cut)
	})
}

// Done is closed when the session and its streams have ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// Finally has f called once after the end of the session, without a goroutine
// that waits for it. It is called at most once for a session.
func (s *Session) Finally(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.done:
		go f()
	default:
		s.finally = f
	}
}

// Err says why the session ended, nil while it lives. It wraps
// tunnel.ErrSessionClosed.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// reason prefers why the session ended to what one write ran into.
func (s *Session) reason(err error) error {
	if end := s.Err(); end != nil {
		return end
	}
	return err
}

// Peer is what the other end said of itself.
func (s *Session) Peer() Hello { return s.peer }

// RemoteAddr is where the connection comes from or goes to.
func (s *Session) RemoteAddr() net.Addr { return s.conn.RemoteAddr() }

// LocalAddr is this end's address.
func (s *Session) LocalAddr() net.Addr { return s.conn.LocalAddr() }

// Since is when the session began.
func (s *Session) Since() time.Time { return s.started }

// Stats returns the figures of now.
func (s *Session) Stats() Stats {
	s.mu.Lock()
	n := len(s.streams)
	s.mu.Unlock()
	return Stats{
		Streams: n, RTT: time.Duration(s.live.rtt.Load()), SmoothedRTT: time.Duration(s.live.smoothed.Load()),
		BytesIn: s.conn.in.Load(), BytesOut: s.conn.out.Load(),
		LastHeard: time.Unix(0, s.conn.lastRead.Load()),
	}
}

// add registers a stream unless the session is over.
func (s *Session) add(st *stream) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || s.err != nil {
		return s.err
	}
	if len(s.streams) >= s.cfg.MaxStreams {
		return &tunnel.RefusedError{
			What: "dial " + st.target.String(), Kind: tunnel.RefusedOverload,
			Reason: fmt.Sprintf("%d streams are open, which is the limit", s.cfg.MaxStreams),
		}
	}
	s.streams[st] = struct{}{}
	return nil
}

func (s *Session) remove(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, st)
}

var frames = sync.Pool{New: func() any { b := make([]byte, 0, frameHeader+maxData); return &b }}

func newSmallReader(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, 512) }
