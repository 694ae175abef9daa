package sock

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/tunnel"
)

// congestion is the congestion control of every lane. It holds the queue of a
// thin line short where cubic fills it: a request beside a bulk transfer needs
// 14 ms instead of 50 ms at 20 Mbit/s with 50 ms of queue.
const congestion = "bbr"

// Bounds of what the kernel holds unsent (TCP_NOTSENT_LOWAT, tcp(7)), in bytes.
// What is in the kernel can no longer be overtaken, so it is little where
// somebody waits and more where throughput is what counts.
const (
	unsentPrompt = 16 << 10
	unsentBulk   = 128 << 10
)

// keepAliveCount is how many keepalive probes may stay unanswered.
const keepAliveCount = 3

// Tune sets what a lane of this class needs on the TCP connection below c:
// congestion control, a bound of unsent bytes, how long the other end may
// leave data (TCP_USER_TIMEOUT) or keepalive probes unanswered, both about
// silence, and the socket's priority. A connection that is not TCP is left as it
// is; of one with a Carrier, that one gets the priority.
func Tune(c net.Conn, class tunnel.Lane, silence time.Duration) {
	c = Bottom(c)
	prioritize(c, class)
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetKeepAliveConfig(keepAlive(silence))
	}
	sc, ok := c.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	local := sameHost(c)
	_ = raw.Control(func(fd uintptr) {
		s := int(fd)
		_ = unix.SetsockoptInt(s, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(silence.Milliseconds()))
		_ = unix.SetsockoptInt(s, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent(class))
		if !local {
			_ = unix.SetsockoptString(s, unix.IPPROTO_TCP, unix.TCP_CONGESTION, congestion)
		}
	})
}

func unsent(class tunnel.Lane) int {
	// Not the relay's lane: packets are to wait where the old ones are dropped.
	// 128 KiB in the kernel made a ping beside a copy at 1 Mbit/s take 0.8 s.
	if class == tunnel.LaneBulk {
		return unsentBulk
	}
	return unsentPrompt
}

func keepAlive(silence time.Duration) net.KeepAliveConfig {
	return net.KeepAliveConfig{
		Enable: true, Count: keepAliveCount,
		// The kernel counts in whole seconds.
		Idle: max(silence/2, time.Second), Interval: max(silence/(2*keepAliveCount), time.Second),
	}
}

// sameHost says that a connection does not leave the machine, where there is no
// queue to keep short and the pacing of bbr only costs.
func sameHost(c net.Conn) bool {
	remote, ok := c.RemoteAddr().(*net.TCPAddr)
	return ok && remote.IP.IsLoopback()
}

// Bottom returns the innermost connection of c: below TLS and whatever else has
// NetConn. A close of that one never waits for the other end.
func Bottom(c net.Conn) net.Conn {
	for {
		wrapper, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return c
		}
		inner := wrapper.NetConn()
		if inner == nil {
			return c
		}
		c = inner
	}
}
