package shape

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// patience is how long the kernel may take for one message; it waits for others
// who change the network at the same time.
const patience = 20 * time.Second

// batchLimit is how many messages are sent at once. Their answers, of which
// there is one and one for each error, must fit the socket's receive buffer.
const batchLimit = 64

// message is one request to the kernel.
type message struct {
	kind, flags uint16
	// what is for errors: "class 6b65:20 of kedge-out0".
	what string
	// device is the index of the one it is about.
	device int
	body   []byte
}

// conn is a netlink socket in the namespace of the thread that opened it.
type conn struct {
	handle *nl.SocketHandle
	pid    uint32
}

func dial() (*conn, error) {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening a netlink socket: %w", err)
	}
	c := &conn{handle: &nl.SocketHandle{Socket: socket}}
	timeout := unix.NsecToTimeval(patience.Nanoseconds())
	err = errors.Join(socket.SetReceiveTimeout(&timeout), socket.SetSendTimeout(&timeout))
	// Without the kernel's words an error is but a number; old kernels have none.
	_ = socket.SetExtAck(true)
	if err == nil {
		c.pid, err = socket.GetPid()
	}
	if err != nil {
		socket.Close()
		return nil, fmt.Errorf("preparing a netlink socket: %w", err)
	}
	return c, nil
}

func (c *conn) Close() { c.handle.Socket.Close() }

// dump calls f with the header and the attributes of each object. One that was
// interrupted by a change is repeated.
func (c *conn) dump(kind uint16, filter nl.TcMsg, f func(nl.TcMsg, attrs)) error {
	const tries = 5
	var err error
	for range tries {
		req := nl.NewNetlinkRequest(int(kind), unix.NLM_F_DUMP)
		req.AddData(&filter)
		req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: c.handle}
		var msgs [][]byte
		if msgs, err = req.Execute(unix.NETLINK_ROUTE, 0); errors.Is(err, nl.ErrDumpInterrupted) {
			continue
		}
		if err != nil {
			return err
		}
		for _, m := range msgs {
			if len(m) < nl.SizeofTcMsg {
				continue
			}
			f(*nl.DeserializeTcMsg(m), parse(m[nl.SizeofTcMsg:]))
		}
		return nil
	}
	return err
}

// send makes the kernel work on the messages in order, errors or not, and
// returns an error for each that had one.
func (c *conn) send(messages []message) map[int]error {
	failed := map[int]error{}
	for first := 0; first < len(messages); first += batchLimit {
		batch := messages[first:min(first+batchLimit, len(messages))]
		for i, err := range c.sendBatch(batch) {
			failed[first+i] = err
		}
	}
	return failed
}

func (c *conn) sendBatch(batch []message) map[int]error {
	failed := map[int]error{}
	first := c.handle.Seq + 1
	var out []byte
	for i, m := range batch {
		flags := m.flags | unix.NLM_F_REQUEST
		if i == len(batch)-1 {
			flags |= unix.NLM_F_ACK
		}
		c.handle.Seq++
		out = appendMessage(out, m, flags, c.handle.Seq)
	}
	if err := unix.Sendto(c.handle.Socket.GetFd(), out, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		failed[0] = fmt.Errorf("sending %d messages to the kernel: %w", len(batch), err)
		return failed
	}
	for {
		answers, _, err := c.handle.Socket.Receive()
		if err != nil {
			failed[len(batch)-1] = fmt.Errorf("%s: waiting for the kernel: %w", batch[len(batch)-1].what, err)
			return failed
		}
		for _, a := range answers {
			i := int(a.Header.Seq - first)
			if a.Header.Type != unix.NLMSG_ERROR || i < 0 || i >= len(batch) {
				continue
			}
			if err := answer(a.Data, a.Header.Flags); err != nil {
				failed[i] = fmt.Errorf("%s: %w", batch[i].what, err)
			}
			if i == len(batch)-1 {
				return failed
			}
		}
	}
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
	number := int32(binary.NativeEndian.Uint32(b))
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
		echoed = align(int(binary.NativeEndian.Uint32(rest)))
	}
	if echoed > len(rest) {
		return errno
	}
	if words, ok := parse(rest[echoed:])[unix.NLMSGERR_ATTR_MSG]; ok {
		return fmt.Errorf("%w (%s)", errno, nl.BytesToString(words))
	}
	return errno
}
