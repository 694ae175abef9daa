package mux

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/kedge-io/kedge/tunnel"
)

// Reasons of lanes that end although nothing is wrong.
var (
	// ErrReplaced says that a newer lane of the same class and index took over.
	ErrReplaced = errors.New("replaced by a newer lane")
	// ErrRetired says that the lane was not needed any more.
	ErrRetired = errors.New("retired")
)

// readBuffer is what an idle lane holds for reading, in bytes. Larger frames
// are read past it into the memory where they stay.
const readBuffer = 4 << 10

// closeGrace bounds how long a lane that is closed waits for the other end to
// take the reason.
const closeGrace = 500 * time.Millisecond

// Lane is one connection of a session.
type Lane struct {
	session *Session
	class   tunnel.Lane
	index   int
	conn    net.Conn
	since   time.Time
	traffic *counters
	// instance is the initiator's number of the lane; 0 until it is known. It
	// is written under the session's lock before the lane is a route.
	instance uint32

	in  *bufio.Reader // the reader's
	out outbox

	beats *time.Timer
	pulse pulse

	bytesIn, bytesOut atomic.Int64
	heard             atomic.Int64 // when the latest byte came
	used              atomic.Bool  // by a stream or packet, since the latest beat
	lastUsed          atomic.Int64
	senders           atomic.Int64 // streams that send on it
	retiring          atomic.Bool  // nothing new is sent on it
	peerRetired       atomic.Bool  // nor by the other end
	closing           atomic.Pointer[error]
}

func newLane(s *Session, class tunnel.Lane, index int, conn net.Conn) *Lane {
	l := &Lane{
		session: s, class: class, index: index, conn: conn,
		since: time.Now(), traffic: s.traffic.of(class),
	}
	l.in = bufio.NewReaderSize(source{l}, readBuffer)
	l.heard.Store(s.now())
	l.lastUsed.Store(s.now())
	return l
}

// start lets the lane run; called with the session's mu held.
func (l *Lane) start() {
	s := l.session
	l.out.mu.Lock()
	defer l.out.mu.Unlock()
	l.beats = time.AfterFunc(s.cfg.Ping, l.beat)
	s.wg.Go(func() {
		err := l.cause(l.read())
		l.fail(err)
		s.laneDown(l, err)
	})
	if s.initiator {
		_ = l.postLocked(true, appendHello(nil, l.instance, l.class, l.index))
		l.pingLocked()
	}
}

// cause prefers why the lane was ended here to how its reader saw that.
func (l *Lane) cause(err error) error {
	if closing := l.closing.Load(); closing != nil {
		return *closing
	}
	if dead := l.deadError(); dead != nil {
		return dead
	}
	return err
}

// Class tells what the lane is for.
func (l *Lane) Class() tunnel.Lane { return l.class }

// Index tells lanes of one class apart.
func (l *Lane) Index() int { return l.index }

// String is class and index.
func (l *Lane) String() string { return fmt.Sprintf("%s/%d", l.class, l.index) }

// Conn is the connection that Attach was given, for its address; only the lane
// reads and writes it.
func (l *Lane) Conn() net.Conn { return l.conn }

// Close ends the lane, and the streams on it with the reason, which the other
// end is told if the lane still takes it within half a second.
func (l *Lane) Close(reason error) {
	if !l.closing.CompareAndSwap(nil, &reason) {
		return
	}
	l.session.endStreams(l, reason)
	// The other end closes the connection when it has the reason. An end that
	// cut it with unread bytes would reset it, and the reason would be lost.
	time.AfterFunc(closeGrace, func() { l.fail(reason) })
	_ = l.post(false, appendClose(nil, reason.Error()))
}

// cut closes what is below TLS first, as TLS may wait for a link that is full.
func (l *Lane) cut() {
	_ = bottom(l.conn).Close()
	_ = l.conn.Close()
}

func bottom(c net.Conn) net.Conn {
	for {
		inner, ok := c.(interface{ NetConn() net.Conn })
		if !ok || inner.NetConn() == nil {
			return c
		}
		c = inner.NetConn()
	}
}

// Retire moves the streams of both ends off the lane and then ends it with
// ErrRetired. Streams do not notice. It ends when no stream is left on it, so
// another lane must be there for them.
func (l *Lane) Retire() {
	if l.retire() {
		_ = l.post(false, appendHeader(nil, kindRetire, 0, 0))
	}
}

// retire takes the lane out of use for sending; false if it was already.
func (l *Lane) retire() bool {
	if l.retiring.Swap(true) {
		return false
	}
	s := l.session
	s.mu.Lock()
	if s.err == nil {
		s.changeLocked()
	}
	streams := s.table.all()
	s.mu.Unlock()
	for _, st := range streams {
		st.leave(l)
	}
	return true
}

// source counts what comes, and when.
type source struct{ *Lane }

// Read implements io.Reader.
func (l source) Read(b []byte) (int, error) {
	n, err := l.conn.Read(b)
	if n > 0 {
		l.count(&l.bytesIn, &l.traffic.in, n)
		l.heard.Store(l.session.now())
	}
	return n, err
}

func (l *Lane) count(lane, class *atomic.Int64, n int) {
	lane.Add(int64(n))
	class.Add(int64(n))
}
