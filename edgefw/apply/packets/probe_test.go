//go:build namespace

package packets

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/tests/nethost"
)

// What becomes of a packet, beside the name of the place that answered.
const (
	dropped = "dropped"
	refused = "refused"
)

// patience is how long an answer may take that must come.
const patience = 15 * time.Second

// probe is one packet that begins a flow, and what is to become of it.
type probe struct {
	line     string // of the table
	family   int
	who, to  string // names of places
	protocol model.Protocol
	from     netip.Addr
	dest     netip.AddrPort
	mark     uint32
	want     string
}

// sender is where a probe is sent from.
func (s *site) sender(who string) *nethost.Host {
	switch who {
	case "node":
		return s.node
	case "pod":
		return s.pod
	case "docker":
		return s.docker
	}
	return s.outside
}

// send returns the name of the place that answered, dropped or refused. It waits
// for an answer as long as wait.
func (s *site) send(p probe, wait time.Duration) (got string) {
	s.sender(p.who).Do(func() {
		var err error
		switch p.protocol {
		case model.TCP:
			got, err = sendTCP(p, wait)
		case model.UDP:
			got, err = sendUDP(p, wait)
		default:
			got, err = sendPing(p, wait)
		}
		if err != nil {
			got = outcome(err)
		}
	})
	return got
}

// outcome tells what an error means. The kernel tells a sender on the same machine
// that its packet was dropped on the way out (EPERM).
func outcome(err error) string {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, unix.EPERM):
		return dropped
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.ECONNABORTED), errors.Is(err, unix.EPIPE):
		return refused
	}
	return err.Error()
}

// marked sets the mark of a socket.
func marked(mark uint32) func(string, string, syscall.RawConn) error {
	if mark == 0 {
		return nil
	}
	return func(_, _ string, c syscall.RawConn) error {
		var failed error
		if err := c.Control(func(fd uintptr) {
			failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark))
		}); err != nil {
			return err
		}
		return failed
	}
}

func dialTCP(p probe, wait time.Duration) (net.Conn, error) {
	d := net.Dialer{Timeout: wait, Control: marked(p.mark)}
	if p.from.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(p.from, 0))
	}
	return d.Dial("tcp", p.dest.String())
}

func sendTCP(p probe, wait time.Duration) (string, error) {
	c, err := dialTCP(p, wait)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	text, err := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(text), err
}

func dialUDP(p probe) (net.Conn, error) {
	d := net.Dialer{Control: marked(p.mark)}
	if p.from.IsValid() {
		d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.from, 0))
	}
	return d.Dial("udp", p.dest.String())
}

func sendUDP(p probe, wait time.Duration) (string, error) {
	c, err := dialUDP(p)
	if err != nil {
		return "", err
	}
	defer c.Close()
	return exchange(c, []byte("hello"), wait)
}

// exchange sends a datagram and returns the first word of the answer.
func exchange(c net.Conn, data []byte, wait time.Duration) (string, error) {
	_ = c.SetDeadline(time.Now().Add(wait))
	if _, err := c.Write(data); err != nil && !errors.Is(err, unix.EPERM) {
		return "", err
	}
	buf := make([]byte, 1500) // after EPERM the answer to a refused packet may wait there
	n, err := c.Read(buf)
	name, _, _ := strings.Cut(string(buf[:n]), " ")
	return name, err
}

// sendPing asks for an echo by a ping socket, whose errors are those of ICMP. The
// answer of whoever it is counts as its destination's.
func sendPing(p probe, wait time.Duration) (string, error) {
	c, err := dialPing(p)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := exchange(c, echo(p.family), wait); err != nil {
		return "", err
	}
	if p.want == dropped || p.want == refused {
		return "answered", nil
	}
	return p.want, nil
}

// echo is an echo request; the kernel fills in identifier and checksum.
func echo(family int) []byte {
	kind := byte(8)
	if family == 6 {
		kind = 128
	}
	return []byte{kind, 0, 0, 0, 0, 0, 0, 1, 'k', 'e', 'd', 'g', 'e'}
}

func dialPing(p probe) (net.Conn, error) {
	domain, protocol := unix.AF_INET, unix.IPPROTO_ICMP
	if p.family == 6 {
		domain, protocol = unix.AF_INET6, unix.IPPROTO_ICMPV6
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return nil, fmt.Errorf("ping socket: %w", err)
	}
	f := os.NewFile(uintptr(fd), "ping")
	defer f.Close() // FileConn has a copy
	if p.from.IsValid() {
		if err := unix.Bind(fd, socketAddr(netip.AddrPortFrom(p.from, 0))); err != nil {
			return nil, fmt.Errorf("ping socket: %w", err)
		}
	}
	if err := unix.Connect(fd, socketAddr(p.dest)); err != nil {
		return nil, fmt.Errorf("ping socket: %w", err)
	}
	return net.FileConn(f)
}

func socketAddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}
