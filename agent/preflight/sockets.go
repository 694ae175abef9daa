package preflight

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"

	"github.com/kedge-io/kedge/edgefw/apply/sockets"
)

// tryDestroy ends a connection of its own, in a namespace of its own.
func tryDestroy() (err error) {
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	conn, err := net.DialTCP("tcp4", nil, l.Addr().(*net.TCPAddr))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	s, err := sockets.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	ap := func(a net.Addr) netip.AddrPort { return a.(*net.TCPAddr).AddrPort() }
	found, err := s.Find(ap(conn.LocalAddr()), ap(conn.RemoteAddr()))
	if err != nil {
		return err
	}
	return s.Destroy(found)
}
