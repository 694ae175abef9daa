package mux

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kedge-io/kedge/tunnel"
)

// Session is one table of streams over all lanes between two ends. All methods
// may be called at any time from any goroutine.
//
// Locks, in the order in which they may be held together: a stream's mu, the
// session's mu, a lane's outbox or the budget.
type Session struct {
	cfg       Config
	initiator bool
	epoch     time.Time // the origin of stamps
	budget    budget
	routes    atomic.Pointer[routes]
	traffic   traffic

	packetsIn, packetsOut, packetsDropped atomic.Int64

	ctx    context.Context // ends with the session
	cancel context.CancelFunc
	wg     sync.WaitGroup // everything that runs for the session
	done   chan struct{}

	mu      sync.Mutex
	err     error // why the session ended
	changed chan struct{}
	table   table
	lanes   []*Lane
	lost    ring // instances of lanes that ended
	wanted  map[tunnel.Lane]time.Time
	// instance is the latest lane's; the initiator numbers them.
	instance uint32
}

// New makes a session. One end is the initiator, the other is not. It starts
// no goroutine; streams and packets flow once lanes are attached.
func New(initiator bool, cfg Config) *Session {
	cfg = cfg.withDefaults()
	s := &Session{
		cfg: cfg, initiator: initiator, epoch: time.Now(),
		budget: budget{cap: cfg.MaxBuffered, streams: cfg.MaxStreams},
		done:   make(chan struct{}), changed: make(chan struct{}),
		table:  newTable(initiator, cfg.MaxStreams),
		wanted: map[tunnel.Lane]time.Time{},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.routes.Store(&routes{})
	return s
}

// now is the time since the epoch in nanoseconds; never 0.
func (s *Session) now() int64 { return int64(time.Since(s.epoch)) + 1 }

// Close ends all lanes and streams with the reason, which the other end is
// told if the lanes still take it within half a second. It returns before all
// is torn down; see Done.
func (s *Session) Close(reason error) {
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return
	}
	s.err = fmt.Errorf("%w: %w", tunnel.ErrSessionClosed, reason)
	lanes, streams := s.lanes, s.table.all()
	s.changeLocked()
	s.mu.Unlock()
	for _, st := range streams {
		st.fail(s.err, nil)
	}
	s.cancel()
	for _, l := range lanes {
		l.Close(reason)
	}
	go func() {
		s.wg.Wait()
		close(s.done)
	}()
}

// Done is closed when lanes, streams and their goroutines have ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err says why the session ended, nil while it lives. It wraps
// tunnel.ErrSessionClosed.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// changeLocked wakes those who wait for a lane.
func (s *Session) changeLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
	r := &routes{}
	for _, l := range s.lanes {
		r.add(l)
	}
	s.routes.Store(r)
}

// want asks for a lane. It is called without locks.
func (s *Session) want(class tunnel.Lane) {
	if s.cfg.WantLane == nil {
		return
	}
	s.mu.Lock()
	now := time.Now()
	again := s.err == nil && now.Sub(s.wanted[class]) >= wantEvery
	if again {
		s.wanted[class] = now
	}
	s.mu.Unlock()
	if again {
		s.cfg.WantLane(class)
	}
}

const wantEvery = time.Second

// Attach adds a lane, or replaces the one of the same class and index, and
// takes over conn, which carries nothing but this lane from both ends. class
// is interactive, bulk or relay, index 0 to 255.
func (s *Session) Attach(class tunnel.Lane, index int, conn net.Conn) (*Lane, error) {
	if classCodes[class] == 0 || index < 0 || index > maxIndex {
		return nil, fmt.Errorf("attach lane %s/%d: no such lane, want %s, %s or %s with an index of 0 to %d",
			class, index, tunnel.LaneInteractive, tunnel.LaneBulk, tunnel.LaneRelay, maxIndex)
	}
	l := newLane(s, class, index, conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, fmt.Errorf("attach lane %s/%d: %w", class, index, s.err)
	}
	for i, old := range s.lanes {
		if old.class == class && old.index == index {
			s.lanes = append(s.lanes[:i:i], s.lanes[i+1:]...)
			old.fail(ErrReplaced)
			break
		}
	}
	if s.initiator {
		s.instance++
		l.instance = s.instance
	}
	s.lanes = append(s.lanes[:len(s.lanes):len(s.lanes)], l)
	l.start()
	s.changeLocked()
	return l, nil
}

const maxIndex = 255

// ready takes what the initiator says of a lane; called by its reader.
func (s *Session) ready(l *Lane, instance uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if instance == 0 || s.laneLocked(instance) != nil || s.lost.has(instance) {
		return fmt.Errorf("%w: a second lane with number %d", ErrProtocol, instance)
	}
	l.instance = instance
	s.changeLocked()
	return nil
}

func (s *Session) laneLocked(instance uint32) *Lane {
	for _, l := range s.lanes {
		if l.instance == instance {
			return l
		}
	}
	return nil
}

// knows checks the number of a lane that the other end moves a stream to. The
// lane may be one that is not attached here yet, but not one that ended.
func (s *Session) knows(instance uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.laneLocked(instance) != nil:
		return nil
	case instance == 0 || s.initiator && instance > s.instance:
		return fmt.Errorf("%w: move to lane number %d, which there never was", ErrProtocol, instance)
	case s.initiator || s.lost.has(instance):
		return errLaneLost
	}
	return nil
}

var errLaneLost = errors.New("the lane it moved to has ended")

// laneDown ends what depends on a lane whose reader has ended.
func (s *Session) laneDown(l *Lane, err error) {
	s.mu.Lock()
	for i, other := range s.lanes {
		if other == l {
			s.lanes = append(s.lanes[:i:i], s.lanes[i+1:]...)
			break
		}
	}
	if l.instance != 0 {
		s.lost.add(l.instance)
	}
	if s.err == nil {
		s.changeLocked()
	}
	s.mu.Unlock()
	s.endStreams(l, err)
	if s.cfg.LaneDown != nil {
		s.cfg.LaneDown(l, err)
	}
}

// endStreams tells every stream that a lane has ended.
func (s *Session) endStreams(l *Lane, err error) {
	s.mu.Lock()
	streams := s.table.all()
	s.mu.Unlock()
	for _, st := range streams {
		st.laneDown(l, err)
	}
}

// routes are the lanes to send on, by class.
type routes struct {
	interactive, relay *Lane // those with the lowest index; may be nil
	bulk               []*Lane
}

func (r *routes) add(l *Lane) {
	if l.instance == 0 || l.retiring.Load() {
		return
	}
	switch l.class {
	case tunnel.LaneInteractive:
		r.interactive = lower(r.interactive, l)
	case tunnel.LaneRelay:
		r.relay = lower(r.relay, l)
	case tunnel.LaneBulk:
		r.bulk = append(r.bulk, l)
	}
}

func lower(a, b *Lane) *Lane {
	if a == nil || b.index < a.index {
		return b
	}
	return a
}

// leastLoaded is the bulk lane that fewest streams send on; nil if there is
// none.
func (r *routes) leastLoaded() *Lane {
	var best *Lane
	for _, l := range r.bulk {
		if best == nil || l.senders.Load() < best.senders.Load() {
			best = l
		}
	}
	return best
}

// any is a lane for a frame that may take every one of streams.
func (r *routes) any() *Lane {
	if r.interactive == nil {
		return r.leastLoaded()
	}
	return r.interactive
}
