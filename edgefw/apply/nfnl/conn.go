package nfnl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// bufferSize is what is asked for in both directions: a batch is 64 kB, an
	// error has the whole request in it, and those who listen are to outlive a
	// transaction with thousands of rules.
	bufferSize = 4 << 20
	// readSize holds the largest datagram: dumps come in 32 kB, an error with the
	// request in it in little more than 64.
	readSize = 128 << 10
	// patience in seconds bounds waiting for an answer, which the kernel has ready
	// when the request returns.
	patience = 10
)

// Error is what the kernel answers to a request that it refuses.
type Error struct {
	// Errno is positive. From 4096 on the subsystem gives it its meaning.
	Errno syscall.Errno
	// Request is the request that is meant as the kernel sends it back, without
	// its headers; a subsystem may have written into it.
	Request []byte
}

// Error is the errno as text.
func (e *Error) Error() string {
	if e.Errno >= 4096 {
		return fmt.Sprintf("netfilter error %d", int(e.Errno))
	}
	return e.Errno.Error()
}

// Unwrap is the errno.
func (e *Error) Unwrap() error { return e.Errno }

// ErrInterrupted tells that what was listed changed meanwhile, so that some of it
// may be missing or double.
var ErrInterrupted = errors.New("changed while it was listed")

// Conn is a socket for requests. It can be used by several goroutines, one after
// the other.
type Conn struct {
	mu  sync.Mutex
	fd  int
	seq uint32
	buf []byte
}

// Dial opens a socket in the network namespace of the calling thread.
func Dial() (*Conn, error) {
	fd, err := open(0)
	if err != nil {
		return nil, err
	}
	wait := unix.Timeval{Sec: patience}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("setsockopt", err)
	}
	return &Conn{fd: fd, buf: make([]byte, readSize)}, nil
}

// Listen opens a socket that gets what the kernel tells the groups, in the network
// namespace of the calling thread. Each Read returns one datagram, for
// [Messages]; [unix.ENOBUFS] tells that some were lost. Close ends a Read.
func Listen(groups ...int) (*os.File, error) {
	fd, err := open(unix.SOCK_NONBLOCK)
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, g); err != nil {
			_ = unix.Close(fd)
			return nil, fmt.Errorf("joining nfnetlink group %d: %w", g, err)
		}
	}
	return os.NewFile(uintptr(fd), "nfnetlink"), nil
}

func open(flags int) (int, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|flags, unix.NETLINK_NETFILTER)
	if err != nil {
		return -1, fmt.Errorf("opening a netfilter socket: %w", err)
	}
	for _, option := range [][2]int{{unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}, {unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}} {
		// Without CAP_NET_ADMIN in the first namespace there is what the host allows.
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, option[0], bufferSize) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, option[1], bufferSize)
		}
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		_ = unix.Close(fd)
		return -1, os.NewSyscallError("bind", err)
	}
	return fd, nil
}

// Listen turns a connection, once it has asked for something that the kernel will
// send on its own, into what [Listen] returns. The connection is no more.
func (c *Conn) Listen() (*os.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return nil, os.ErrClosed
	}
	if err := unix.SetNonblock(c.fd, true); err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	fd := c.fd
	c.fd = -1
	return os.NewFile(uintptr(fd), "nfnetlink"), nil
}

// Close closes the socket. What is asked later fails with [os.ErrClosed].
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return os.ErrClosed
	}
	fd := c.fd
	c.fd = -1 // the number may be that of another file from now on
	return unix.Close(fd)
}

// Do sends a request and waits for the kernel's word that it was done. A refusal
// is an [*Error].
func (c *Conn) Do(m *Message) error { return c.exchange(m, unix.NLM_F_ACK, nil) }

// Dump sends a request that lists something and calls each with every message
// of the answer; the bytes are good until it returns.
func (c *Conn) Dump(m *Message, each func(h Header, body []byte) error) error {
	return c.exchange(m, unix.NLM_F_DUMP, each)
}

// Get sends a request with one answer.
func (c *Conn) Get(m *Message, each func(h Header, body []byte) error) error {
	return c.exchange(m, unix.NLM_F_ACK, each)
}

func (c *Conn) exchange(m *Message, flag uint16, each func(Header, []byte) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd < 0 {
		return os.ErrClosed
	}
	c.seq++
	b := m.finish(c.seq)
	binary.NativeEndian.PutUint16(b[6:], binary.NativeEndian.Uint16(b[6:])|flag)
	if err := send(c.fd, b); err != nil {
		return err
	}
	a := answer{seq: c.seq, each: each}
	for !a.done {
		n, err := receive(c.fd, c.buf)
		if err != nil {
			return err
		}
		a.take(c.buf[:n])
	}
	return a.err
}

func send(fd int, b []byte) error {
	for {
		err := unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		if err != unix.EINTR {
			return os.NewSyscallError("sendto", err)
		}
	}
}

func receive(fd int, b []byte) (int, error) {
	for {
		n, _, err := unix.Recvfrom(fd, b, 0)
		if err != unix.EINTR {
			return n, os.NewSyscallError("recvfrom", err)
		}
	}
}
