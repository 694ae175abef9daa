package shape

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// patience is how long the kernel may take for one message; it waits for
	// others who change the network at the same time.
	patience = 20 * time.Second
	// receiveSize is more than the kernel puts into one datagram of a dump.
	receiveSize = 64 << 10
)

// message is one request to the kernel.
type message struct {
	kind, flags uint16
	// what is for errors: "class 6b65:20 of kedge-out0".
	what string
	// device is the index of the one it is about.
	device int
	body   []byte
}

// conn is a netlink socket in the namespace of the thread that opened it. It is
// not the library's: that one allocates 128 KiB for each datagram and sends one
// request at a time, which for 200 pods takes longer than all the rest.
type conn struct {
	fd  int
	seq uint32
	in  []byte
	// dead ends a conn as a kill of the process would; for tests, else nil.
	dead func(message) bool
}

func dial() (*conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening a netlink socket: %w", err)
	}
	timeout := unix.NsecToTimeval(patience.Nanoseconds())
	err = errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout),
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
	)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("preparing a netlink socket: %w", err)
	}
	// Without the kernel's words an error is but a number; old kernels have none.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	return &conn{fd: fd, in: make([]byte, receiveSize)}, nil
}

func (c *conn) Close() { _ = unix.Close(c.fd) }

// reply is a message from the kernel; its body is valid until the next one.
type reply struct {
	kind, flags uint16
	seq         uint32
	body        []byte
}

// receive calls f with the messages of one datagram.
func (c *conn) receive(f func(reply)) error {
	var n int
	for {
		var from unix.Sockaddr
		var err error
		n, from, err = unix.Recvfrom(c.fd, c.in, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("waiting for the kernel: %w", err)
		}
		if a, ok := from.(*unix.SockaddrNetlink); ok && a.Pid == 0 {
			break // anybody may send to a netlink socket
		}
	}
	for b := c.in[:n]; len(b) >= unix.SizeofNlMsghdr; {
		length := int(binary.NativeEndian.Uint32(b))
		if length < unix.SizeofNlMsghdr || length > len(b) {
			return errors.New("the kernel's message is broken")
		}
		f(reply{
			kind: binary.NativeEndian.Uint16(b[4:]), flags: binary.NativeEndian.Uint16(b[6:]),
			seq: binary.NativeEndian.Uint32(b[8:]), body: b[unix.SizeofNlMsghdr:length],
		})
		b = b[min(align(length), len(b)):]
	}
	return nil
}

func (c *conn) transmit(b []byte) error {
	return unix.Sendto(c.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

func appendMessage(out []byte, m message, flags uint16, seq uint32) []byte {
	out = binary.NativeEndian.AppendUint32(out, uint32(unix.SizeofNlMsghdr+len(m.body)))
	out = binary.NativeEndian.AppendUint16(out, m.kind)
	out = binary.NativeEndian.AppendUint16(out, flags)
	out = binary.NativeEndian.AppendUint32(out, seq)
	out = binary.NativeEndian.AppendUint32(out, 0)
	return append(out, m.body...)
}

// answer reads struct nlmsgerr and the words that follow it (NLMSGERR_ATTR_MSG
// of linux/netlink.h).
func answer(b []byte, flags uint16) error {
	if len(b) < 4 {
		return errors.New("the kernel's answer is too short")
	}
	number := int32(parseU32(b))
	if number == 0 {
		return nil
	}
	errno := unix.Errno(-number)
	rest := b[4:]
	if flags&unix.NLM_F_ACK_TLVS == 0 || len(rest) < unix.SizeofNlMsghdr {
		return errno
	}
	echoed := unix.SizeofNlMsghdr
	if flags&unix.NLM_F_CAPPED == 0 {
		echoed = align(int(parseU32(rest)))
	}
	if echoed > len(rest) {
		return errno
	}
	if words := attrs(rest[echoed:]).text(unix.NLMSGERR_ATTR_MSG); words != "" {
		return fmt.Errorf("%w (%s)", errno, words)
	}
	return errno
}
