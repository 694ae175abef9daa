package sockets

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// ErrGone tells that there is no such connection.
var ErrGone = errors.New("no such connection")

// ErrUnsupported tells that the kernel cannot (CONFIG_INET_DIAG_DESTROY, Linux
// 4.5).
var ErrUnsupported = errors.New("this kernel cannot end connections of others")

// Socket is one that has a connection.
type Socket struct {
	// Mark is the one that its owner gave it (SO_MARK).
	Mark          uint32
	local, remote netip.AddrPort
	which         cookie
}

// Find gives the socket of the TCP connection between an address of this machine
// and another, both of one family. A socket of IPv6 that speaks IPv4 is found by
// IPv4.
func (s *Sockets) Find(local, remote netip.AddrPort) (Socket, error) {
	answer, err := s.ask(msgFind, 0, local, remote, anySocket)
	if err != nil {
		return Socket{}, err
	}
	which, ok := found(answer, remote)
	if !ok {
		return Socket{}, ErrGone
	}
	return Socket{Mark: mark(answer[answerLength:]), local: local, remote: remote, which: which}, nil
}

// Destroy ends a connection that was found, and no other that has taken its place.
func (s *Sockets) Destroy(socket Socket) error {
	_, err := s.ask(msgDestroy, unix.NLM_F_ACK, socket.local, socket.remote, socket.which)
	return err
}

// explain makes the kernel's word something to branch on.
func explain(err error, local, remote netip.AddrPort) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ESTALE):
		return ErrGone
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EINVAL):
		return ErrUnsupported
	default:
		return fmt.Errorf("the connection %s -> %s: %w", local, remote, err)
	}
}
