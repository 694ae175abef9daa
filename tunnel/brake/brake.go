package brake

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/sock"
)

// Brake holds the lanes of one end of a session.
type Brake struct {
	armed atomic.Bool // a step is to come

	mu      sync.Mutex
	lanes   map[*lane]bool
	control control
	last    time.Time // of the latest step
}

// New returns a brake without lanes.
func New() *Brake { return &Brake{lanes: map[*lane]bool{}} }

// Hold takes the connection of a lane until it is closed. What it returns is to
// be used in its place. A connection that does not leave the machine, or that
// is none of the kernel's, is returned as it is.
func (b *Brake) Hold(class tunnel.Lane, c net.Conn) net.Conn {
	tcp, ok := sock.Bottom(c).(*net.TCPConn)
	if !ok || loopback(tcp) {
		return c
	}
	return b.hold(class, c, tcp)
}

func (b *Brake) hold(class tunnel.Lane, c net.Conn, tcp *net.TCPConn) net.Conn {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return c
	}
	l := &lane{Conn: c, brake: b, socket: raw, braked: class == tunnel.LaneBulk || class == tunnel.LaneRelay}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lanes[l] = true
	return l
}

func loopback(c *net.TCPConn) bool {
	remote, ok := c.RemoteAddr().(*net.TCPAddr)
	return ok && remote.IP.IsLoopback()
}

// arm sees to it that there are steps.
func (b *Brake) arm() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.armed.Swap(true) {
		b.last = time.Now()
		time.AfterFunc(interval, b.step)
	}
}

// step reads all lanes, sets caps, and comes again while there is something to
// send or a cap to take off.
func (b *Brake) step() {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	took := now.Sub(b.last)
	b.last = now
	var braked, others []*flow
	busy := false
	for l := range b.lanes {
		r, err := read(l.socket)
		if err != nil {
			continue // it is ending
		}
		l.take(r, took)
		if !l.braked {
			others = append(others, &l.flow)
			continue
		}
		braked = append(braked, &l.flow)
		busy = busy || r.full || l.rate > 0 || l.cap > 0
	}
	b.control.step(braked, others)
	for l := range b.lanes {
		l.limit()
	}
	if busy {
		time.AfterFunc(interval, b.step)
		return
	}
	for l := range b.lanes {
		l.known = false
	}
	b.control = control{offFor: b.control.offFor}
	b.armed.Store(false)
}
