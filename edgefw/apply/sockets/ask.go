package sockets

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
)

// Of linux/sock_diag.h and linux/inet_diag.h.
const (
	msgFind    = 20
	msgDestroy = 21
	attrMark   = 15
	anyState   = ^uint32(0)
	// Lengths of struct nlmsghdr, inet_diag_req_v2 and inet_diag_msg.
	headerLength  = 16
	requestLength = 56
	answerLength  = 72
)

// Sockets are those of one network namespace. Several goroutines can use it.
type Sockets struct {
	mu sync.Mutex
	fd int
}

// Open works in the network namespace of the calling thread from now on.
func Open() (*Sockets, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_INET_DIAG)
	if err != nil {
		return nil, fmt.Errorf("reaching the kernel's sockets: %w", err)
	}
	// The kernel answers within the call; this is for one that does not.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1}); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("reaching the kernel's sockets: %w", err)
	}
	return &Sockets{fd: fd}, nil
}

// Close frees what Open took.
func (s *Sockets) Close() error { return unix.Close(s.fd) }

// cookie is the kernel's name of one socket; anySocket is all ones.
type cookie [8]byte

var anySocket = cookie{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// ask sends one message and gives the body of the answer.
func (s *Sockets) ask(message, flags uint16, local, remote netip.AddrPort, which cookie) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := unix.Sendto(s.fd, request(message, flags, local, remote, which), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	if err != nil {
		return nil, explain(err, local, remote)
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(s.fd, answer, 0)
	if err != nil {
		return nil, explain(err, local, remote)
	}
	body, err := read(answer[:n])
	return body, explain(err, local, remote)
}

func request(message, flags uint16, local, remote netip.AddrPort, which cookie) []byte {
	b := make([]byte, headerLength+requestLength)
	native := binary.NativeEndian
	native.PutUint32(b, uint32(len(b)))
	native.PutUint16(b[4:], message)
	native.PutUint16(b[6:], unix.NLM_F_REQUEST|flags)
	r := b[headerLength:]
	r[0], r[1] = unix.AF_INET6, unix.IPPROTO_TCP
	if local.Addr().Is4() {
		r[0] = unix.AF_INET
	}
	native.PutUint32(r[4:], anyState)
	binary.BigEndian.PutUint16(r[8:], local.Port())
	binary.BigEndian.PutUint16(r[10:], remote.Port())
	copy(r[12:28], local.Addr().AsSlice())
	copy(r[28:44], remote.Addr().AsSlice())
	copy(r[48:], which[:])
	return b
}

// read takes off the header; NLMSG_ERROR carries a negative error number, or 0.
func read(b []byte) ([]byte, error) {
	if len(b) < headerLength+4 {
		return nil, errors.New("the kernel's answer is cut off")
	}
	body := b[headerLength:min(len(b), max(headerLength, int(binary.NativeEndian.Uint32(b))))]
	if binary.NativeEndian.Uint16(b[4:]) != unix.NLMSG_ERROR {
		return body, nil
	}
	if code := int32(binary.NativeEndian.Uint32(b[headerLength:])); code != 0 {
		return nil, unix.Errno(-code)
	}
	return nil, nil
}

// found reads struct inet_diag_msg. The kernel also finds sockets that listen
// where there is no connection: these have no other end.
func found(b []byte, remote netip.AddrPort) (which cookie, ok bool) {
	if len(b) < answerLength || binary.BigEndian.Uint16(b[6:]) != remote.Port() {
		return cookie{}, false
	}
	return cookie(b[44:52]), true
}

// mark finds it among attributes; 0 without.
func mark(b []byte) uint32 {
	for len(b) >= unix.SizeofRtAttr {
		length := int(binary.NativeEndian.Uint16(b))
		if length < unix.SizeofRtAttr || length > len(b) {
			return 0
		}
		if binary.NativeEndian.Uint16(b[2:]) == attrMark && length >= unix.SizeofRtAttr+4 {
			return binary.NativeEndian.Uint32(b[unix.SizeofRtAttr:])
		}
		b = b[min(len(b), (length+3)&^3):]
	}
	return 0
}
