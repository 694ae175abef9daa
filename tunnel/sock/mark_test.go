package sock

import (
	"context"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/internal/testx"
)

// markOf is the mark of the socket below c.
func markOf(t *testing.T, c net.Conn) uint32 {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var mark int
	if controlErr := raw.Control(func(fd uintptr) { mark, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK) }); controlErr != nil || err != nil {
		t.Fatal(controlErr, err)
	}
	return uint32(mark) //nolint:gosec // the kernel's are 32 bits
}

func TestMarkedSocketsHaveTheMark(t *testing.T) {
	testx.NeedRoot(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const mark = 0x6b650000
	c, err := Marked(mark, time.Second).DialContext(context.Background(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := markOf(t, c); got != mark {
		t.Errorf("the socket has mark %#x, want %#x", got, mark)
	}
}
