//go:build namespace

package sockets

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/tests/nethost"
)

func at(a net.Addr) netip.AddrPort {
	p := netip.MustParseAddrPort(a.String())
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

// pair is a connection through the loopback of a host, and its two ends; the
// socket that dialled has a mark.
func pair(t *testing.T, listen, dial string) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", listen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
		_ = c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, 0x6b65) })
		return err
	}}
	if client, err = d.Dial("tcp", net.JoinHostPort(dial, port)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return client, server
}

func TestDestroyEndsBothEnds(t *testing.T) {
	for _, c := range []struct{ name, listen, dial string }{
		{"IPv4", "127.0.0.1:0", "127.0.0.1"}, {"IPv6", "[::1]:0", "::1"}, {"IPv4 on a socket of IPv6", "[::]:0", "127.0.0.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			nethost.New(t).Do(func() {
				s, err := Open()
				if err != nil {
					t.Error(err)
					return
				}
				defer s.Close()
				client, server := pair(t, c.listen, c.dial)
				other, _ := pair(t, c.listen, c.dial)
				if f, err := s.Find(at(client.LocalAddr()), at(client.RemoteAddr())); err != nil || f.Mark != 0x6b65 {
					t.Errorf("found %+v, %v", f, err)
				}
				found, err := s.Find(at(server.LocalAddr()), at(server.RemoteAddr()))
				if err != nil || found.Mark != 0 {
					t.Errorf("found %+v, %v", found, err)
				}
				if err := s.Destroy(found); err != nil {
					t.Error(err)
				}
				for _, end := range []net.Conn{client, server} {
					if _, err := end.Read(make([]byte, 1)); err == nil {
						t.Errorf("%s goes on", end.LocalAddr())
					}
				}
				if _, err := other.Write([]byte("x")); err != nil {
					t.Errorf("another one ended, too: %v", err)
				}
				// What listens there is none of the connection.
				if f, err := s.Find(at(server.LocalAddr()), at(server.RemoteAddr())); !errors.Is(err, ErrGone) {
					t.Errorf("finding it again: %+v, %v", f, err)
				}
				if err := s.Destroy(found); err == nil {
					t.Error("it was ended twice")
				}
				again, err := net.Dial("tcp", client.RemoteAddr().String())
				if err != nil {
					t.Errorf("nobody listens any more: %v", err)
					return
				}
				_ = again.Close()
			})
		})
	}
}
