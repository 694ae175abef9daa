package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"
	"golang.org/x/sys/unix"
)

// sockets are the two listeners of one address.
type sockets struct {
	tcp net.Listener
	udp net.PacketConn
}

// listen takes the address for itself alone. It works before the host has the
// address, so that a conflict can be told early.
func listen(ctx context.Context, at netip.AddrPort) (sockets, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var set error
		err := c.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_FREEBIND, 1) })
		return errors.Join(err, set)
	}}
	var s sockets
	var err error
	if s.udp, err = lc.ListenPacket(ctx, "udp4", at.String()); err == nil {
		s.tcp, err = lc.Listen(ctx, "tcp4", at.String())
	}
	if err == nil {
		return s, nil
	}
	s.close()
	if errors.Is(err, unix.EADDRINUSE) {
		return sockets{}, fmt.Errorf("listening on the cluster DNS address %s: another DNS server of this host has taken port 53 of every address; find it with \"ss -lnptu sport = :53\" and let it listen on its own addresses only, or give another cluster-dns: %w", at, err)
	}
	return sockets{}, fmt.Errorf("listening on the cluster DNS address %s: %w", at, err)
}

func (s sockets) close() {
	if s.udp != nil {
		_ = s.udp.Close()
	}
	if s.tcp != nil {
		s.tcp.Close()
	}
}

// serve answers on the sockets until ctx ends, and closes them. It returns an
// error only when serving ended before that.
func serve(ctx context.Context, at netip.AddrPort, s sockets, handler plugin.Handler) error {
	defer s.close()
	server, err := dnsserver.NewServer("dns://"+at.String(), []*dnsserver.Config{{
		Zone:        ".",
		ListenHosts: []string{at.Addr().String()},
		Port:        fmt.Sprint(at.Port()),
		Transport:   "dns",
		Plugin:      []plugin.Plugin{func(plugin.Handler) plugin.Handler { return handler }},
	}})
	if err != nil {
		return fmt.Errorf("making the DNS server: %w", err)
	}
	ended := make(chan error, 2)
	go func() { ended <- server.ServePacket(s.udp) }()
	go func() { ended <- server.Serve(s.tcp) }()
	running := 2
	select {
	case err = <-ended:
		running--
		if ctx.Err() == nil {
			err = fmt.Errorf("serving DNS on %s ended: %w", at, err)
		}
	case <-ctx.Done():
	}
	_ = server.Stop() // waits for the answers under way, 5 s at most
	s.close()         // also where a server had not started yet
	for range running {
		err = errors.Join(err, <-ended)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}
