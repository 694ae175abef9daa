package sock

import (
	"context"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Marked returns a dialer whose sockets have the mark (SO_MARK, socket(7)) from
// before their first packet, so that the rules of the host tell them apart. One
// connection is bounded by limit. Without CAP_NET_ADMIN they have none, and
// connect all the same.
func Marked(mark uint32, limit time.Duration) *net.Dialer {
	return &net.Dialer{Timeout: limit, Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark))
		})
	}}
}

// MarkedResolver asks the host's resolvers through sockets with that mark.
func MarkedResolver(mark uint32, limit time.Duration) *net.Resolver {
	dialer := Marked(mark, limit)
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, addr)
	}}
}
