package sock

import (
	"crypto/tls"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tunnel"
)

// pair returns both ends of a TCP connection on an address of this machine.
func pair(t *testing.T) (client, server *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = c.Close(), s.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

func option(t *testing.T, c *net.TCPConn, level, name int) int {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var value int
	if ctlErr := raw.Control(func(fd uintptr) { value, err = unix.GetsockoptInt(int(fd), level, name) }); ctlErr != nil || err != nil {
		t.Fatal(ctlErr, err)
	}
	return value
}

func TestTuneSetsTheOptionsOfTheClassBelowTLS(t *testing.T) {
	for class, of := range map[tunnel.Lane]struct{ unsent, priority int }{
		tunnel.LaneControl: {16 << 10, 7}, tunnel.LaneInteractive: {16 << 10, 6}, tunnel.LaneBulk: {128 << 10, 2}, tunnel.LaneRelay: {16 << 10, 8},
	} {
		c, _ := pair(t)
		Tune(tls.Client(c, &tls.Config{ServerName: "kedge"}), class, 5*time.Second)
		for name, o := range map[string]struct{ level, name, want int }{
			"TCP_USER_TIMEOUT":  {unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 5000},
			"TCP_NOTSENT_LOWAT": {unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, of.unsent},
			"SO_PRIORITY":       {unix.SOL_SOCKET, unix.SO_PRIORITY, of.priority},
			"SO_KEEPALIVE":      {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			"TCP_KEEPIDLE":      {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 3},
			"TCP_KEEPINTVL":     {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 1},
			"TCP_KEEPCNT":       {unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3},
		} {
			if got := option(t, c, o.level, o.name); got != o.want {
				t.Errorf("%s of lane %s is %d, want %d", name, class, got, o.want)
			}
		}
	}
}

func TestTuneChoosesBBROnlyForConnectionsThatLeaveTheMachine(t *testing.T) {
	c, _ := pair(t)
	before := congestionOf(t, c)
	Tune(c, tunnel.LaneBulk, time.Second)
	if got := congestionOf(t, c); got != before {
		t.Errorf("a connection to loopback was changed from %s to %s", before, got)
	}
	if !hasBBR(t) {
		testx.Missing(t, "the congestion control bbr in this kernel")
	}
	Tune(away{c}, tunnel.LaneBulk, time.Second)
	if got := congestionOf(t, c); got != congestion {
		t.Errorf("congestion control is %s, want %s", got, congestion)
	}
}

// away is a connection that says that its other end is on another machine.
type away struct{ *net.TCPConn }

func (away) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 6443} }

func congestionOf(t *testing.T, c *net.TCPConn) string {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var name string
	if ctlErr := raw.Control(func(fd uintptr) {
		name, err = unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION)
	}); ctlErr != nil || err != nil {
		t.Fatal(ctlErr, err)
	}
	return name
}

func hasBBR(t *testing.T) bool {
	t.Helper()
	c, _ := pair(t)
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		err = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, congestion)
	})
	return err == nil
}

func TestTuneLeavesOtherConnectionsAlone(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	Tune(a, tunnel.LaneControl, time.Second)
	if Bottom(a) != a {
		t.Error("a connection without an inner one is its own bottom")
	}
}

// piped is a connection within another one, which has options of its own.
type piped struct {
	net.Conn
	carrier net.Conn
}

func (p piped) Carrier() net.Conn { return p.carrier }

func TestTuneGivesThePriorityToWhatCarriesAConnection(t *testing.T) {
	c, _ := pair(t)
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	before := option(t, c, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT)
	Tune(piped{a, tls.Client(c, &tls.Config{ServerName: "kedge"})}, tunnel.LaneControl, time.Second)
	if got := option(t, c, unix.SOL_SOCKET, unix.SO_PRIORITY); got != 7 {
		t.Errorf("priority %d", got)
	}
	if got := option(t, c, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT); got != before {
		t.Errorf("TCP_NOTSENT_LOWAT went from %d to %d", before, got)
	}
}
