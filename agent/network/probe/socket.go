package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// socket is probes' connection to the kernel.
type socket struct {
	conn  *net.UDPConn
	raw   syscall.RawConn
	route *netlink.Handle
	oob   [256]byte // of Read only
}

// Listen opens the socket for probes at the node's own cluster address.
func Listen(own netip.Addr) (Conn, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var errs []error
		err := c.Control(func(fd uintptr) {
			for option, value := range map[int]int{
				unix.IP_FREEBIND:     1,                      // the bridge with the address may be made later
				unix.IP_PKTINFO:      1,                      // the link over which a message came
				unix.IP_RECVERR:      1,                      // "nobody listens"
				unix.IP_MTU_DISCOVER: unix.IP_PMTUDISC_PROBE, // never fragmented, whatever is known of the path
				unix.IP_TTL:          1,                      // no router passes it on
			} {
				errs = append(errs, unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, option, value))
			}
		})
		return errors.Join(append(errs, err)...)
	}}
	at := netip.AddrPortFrom(own, Port)
	conn, err := lc.ListenPacket(context.Background(), "udp4", at.String())
	if err != nil {
		return nil, fmt.Errorf("listening for probes at %s: %w", at, err)
	}
	udp, ok := conn.(*net.UDPConn)
	if !ok {
		_ = conn.Close()
		return nil, fmt.Errorf("listening for probes at %s: %T is no UDP socket", at, conn)
	}
	raw, err := udp.SyscallConn()
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("listening for probes at %s: %w", at, err)
	}
	route, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("listening for probes at %s: %w", at, err)
	}
	return &socket{conn: udp, raw: raw, route: route}, nil
}

func (s *socket) Close() error {
	s.route.Close()
	return s.conn.Close()
}

// Resolve has the kernel ask for the gateway with the host's address on that
// link. For a packet with the cluster address as source it would ask with that,
// and a peer whose reverse path filter is strict does not answer as long as it
// has no route to it over this link.
func (s *socket) Resolve(path Path) {
	_ = s.route.NeighSet(&netlink.Neigh{
		LinkIndex: path.Index, Family: unix.AF_INET, IP: path.Gateway.AsSlice(), Flags: unix.NTF_USE,
	})
}

func (s *socket) Write(b []byte, to netip.Addr) error {
	_, err := s.conn.WriteToUDPAddrPort(b, netip.AddrPortFrom(to, Port))
	return err
}

func (s *socket) Read(b []byte) (n int, from netip.Addr, link int, err error) {
	n, oobn, _, sender, err := s.conn.ReadMsgUDPAddrPort(b, s.oob[:])
	if err != nil {
		if errors.Is(err, net.ErrClosed) {
			return 0, from, 0, err
		}
		// The error of a message that was sent. Reading it takes it away.
		return 0, from, 0, &Refused{By: s.refusals()}
	}
	if sender.Port() != Port {
		return 0, netip.Addr{}, 0, nil // of nobody
	}
	return n, sender.Addr().Unmap(), linkOf(s.oob[:oobn]), nil
}

// linkOf finds the number of the incoming link (ip(7), IP_PKTINFO).
func linkOf(oob []byte) int {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0
	}
	for _, m := range msgs {
		if m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= 4 {
			return int(binary.NativeEndian.Uint32(m.Data))
		}
	}
	return 0
}

// refusals empties the socket's queue of errors and returns who said that the
// port is closed (ip(7), IP_RECVERR; icmp(7)).
func (s *socket) refusals() []netip.Addr {
	var by []netip.Addr
	_ = s.raw.Control(func(fd uintptr) {
		for range 64 { // the rest at the next error
			var b [1]byte
			oob := make([]byte, 512)
			_, oobn, _, _, err := unix.Recvmsg(int(fd), b[:], oob, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
			if err != nil {
				return
			}
			if addr, ok := closedPort(oob[:oobn]); ok {
				by = append(by, addr)
			}
		}
	})
	return by
}

// closedPort returns who sent an ICMP "port unreachable", from a control message
// with struct sock_extended_err (linux/errqueue.h) and the sender's address.
func closedPort(oob []byte) (netip.Addr, bool) {
	const (
		origin, kind, code = 4, 5, 6 // offsets
		fromICMP           = 2       // SO_EE_ORIGIN_ICMP
		unreachable, port  = 3, 3    // RFC 792
		offender           = 16      // struct sockaddr_in after the struct
	)
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return netip.Addr{}, false
	}
	for _, m := range msgs {
		d := m.Data
		if m.Header.Level != unix.IPPROTO_IP || m.Header.Type != unix.IP_RECVERR || len(d) < offender+8 {
			continue
		}
		if d[origin] == fromICMP && d[kind] == unreachable && d[code] == port {
			return netip.AddrFrom4([4]byte(d[offender+4 : offender+8])), true
		}
	}
	return netip.Addr{}, false
}
