package brake

import (
	"math"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// manyUnacked is a number of packets under way from which a lane counts as full
// although nothing waits behind them: what bbr starts with.
const manyUnacked = 10

// large is from how many bytes on a write sees to it that there are steps.
// Heartbeats are smaller, so that lanes without traffic cost nothing.
const large = 1 << 10

// lane is a connection that a brake holds.
type lane struct {
	net.Conn
	brake  *Brake
	socket syscall.RawConn
	braked bool

	// The rest is guarded by brake.mu.
	flow
	set float64 // the cap that the kernel has
}

// NetConn returns the connection below.
func (l *lane) NetConn() net.Conn { return l.Conn }

// Write implements net.Conn.
func (l *lane) Write(p []byte) (int, error) {
	if l.braked && len(p) >= large && !l.brake.armed.Load() {
		l.brake.arm()
	}
	return l.Conn.Write(p)
}

// Close implements net.Conn.
func (l *lane) Close() error {
	l.brake.mu.Lock()
	delete(l.brake.lanes, l)
	l.brake.mu.Unlock()
	return l.Conn.Close()
}

// limit gives the kernel a cap that has changed.
func (l *lane) limit() {
	if l.cap == l.set {
		return
	}
	rate := uint64(math.MaxUint64) // socket(7): no limit
	if l.cap > 0 {
		rate = uint64(l.cap)
	}
	_ = l.socket.Control(func(fd uintptr) {
		_ = unix.SetsockoptUint64(int(fd), unix.SOL_SOCKET, unix.SO_MAX_PACING_RATE, rate)
	})
	l.set = l.cap
}

// read asks the kernel for what it measured.
func read(socket syscall.RawConn) (r reading, err error) {
	ctlErr := socket.Control(func(fd uintptr) {
		var info *unix.TCPInfo
		if info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err != nil {
			return
		}
		r = reading{
			rtt:    time.Duration(info.Rtt) * time.Microsecond,
			minRTT: time.Duration(info.Min_rtt) * time.Microsecond,
			// In packets: what is acknowledged out of order counts too.
			delivered: uint64(info.Delivered) * uint64(info.Snd_mss),
			full:      info.Notsent_bytes > 0 || info.Unacked > manyUnacked,
		}
	})
	if ctlErr != nil {
		return r, ctlErr
	}
	return r, err
}
