package sock

import (
	"encoding/binary"
	"net"

	"golang.org/x/sys/unix"
)

// KeepTail returns c, a connection to a program of this host, such that what
// the program sent before it closed arrives, however slowly c is read.
//
// A closed socket answers any further byte with a reset (RFC 9293, 3.10.7.4)
// and its kernel throws away what it has not yet handed over: megabytes at the
// end of a copy out of a pod over a thin line, for a heartbeat that nobody
// would have read. So what would go to a program that has closed is dropped
// while c has unread bytes. A connection to elsewhere is left as it is.
func KeepTail(c net.Conn) net.Conn {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return c
	}
	near, _ := tcp.LocalAddr().(*net.TCPAddr)
	far, _ := tcp.RemoteAddr().(*net.TCPAddr)
	if near == nil || far == nil || !far.IP.IsLoopback() && !far.IP.Equal(near.IP) {
		return c
	}
	return &tailKeeper{Conn: tcp, tcp: tcp, peer: diagRequest(far, near)}
}

// tailKeeper embeds the interface, so that nobody gets past Write.
type tailKeeper struct {
	net.Conn
	tcp  *net.TCPConn
	peer diagQuery
}

// CloseWrite tells the program that no more follows.
func (k *tailKeeper) CloseWrite() error { return k.tcp.CloseWrite() }

// NetConn is for [Bottom].
func (k *tailKeeper) NetConn() net.Conn { return k.tcp }

func (k *tailKeeper) Write(b []byte) (int, error) {
	if k.unread() && k.peer.closed() {
		return len(b), nil
	}
	return k.tcp.Write(b)
}

// unread tells whether bytes wait to be read. The other end's kernel holds some
// only while there are.
func (k *tailKeeper) unread() bool {
	raw, err := k.tcp.SyscallConn()
	if err != nil {
		return false
	}
	var n int
	if ctlErr := raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.SIOCINQ) }); ctlErr != nil || err != nil {
		return false
	}
	return n > 0
}

// diagQuery is struct inet_diag_req_v2 (linux/inet_diag.h): the question for
// one socket of this host.
type diagQuery []byte

const (
	diagQuerySize = 56
	diagReplySize = 72 // struct inet_diag_msg
	diagInodeAt   = 68
)

func diagRequest(local, remote *net.TCPAddr) diagQuery {
	const sportAt, srcAt, dstAt, cookieAt = 8, 12, 28, 48
	q := make(diagQuery, diagQuerySize)
	q[0], q[1] = unix.AF_INET6, unix.IPPROTO_TCP
	src, dst := local.IP.To16(), remote.IP.To16()
	if v4 := local.IP.To4(); v4 != nil {
		q[0], src, dst = unix.AF_INET, v4, remote.IP.To4()
	}
	binary.NativeEndian.PutUint32(q[4:], ^uint32(0)) // in any state
	binary.BigEndian.PutUint16(q[sportAt:], uint16(local.Port))
	binary.BigEndian.PutUint16(q[sportAt+2:], uint16(remote.Port))
	copy(q[srcAt:], src)
	copy(q[dstAt:], dst)
	for i := cookieAt; i < diagQuerySize; i++ {
		q[i] = 0xff // any cookie
	}
	return q
}

// closed tells whether no program has the socket any more: it has no inode. A
// socket that only sends no more still has one. Where the kernel does not
// answer, as for sockets of other network namespaces, it is not closed.
func (q diagQuery) closed() bool {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_INET_DIAG)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }()
	const flags, seq, pid = unix.NLM_F_REQUEST, 1, 0
	m := binary.NativeEndian.AppendUint32(nil, uint32(unix.NLMSG_HDRLEN+len(q)))
	m = binary.NativeEndian.AppendUint16(m, unix.SOCK_DIAG_BY_FAMILY)
	m = binary.NativeEndian.AppendUint16(m, flags)
	m = binary.NativeEndian.AppendUint32(m, seq)
	m = binary.NativeEndian.AppendUint32(m, pid)
	if err := unix.Sendto(fd, append(m, q...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return false
	}
	// The kernel has answered when it has taken the question.
	reply := make([]byte, 4<<10)
	n, _, err := unix.Recvfrom(fd, reply, unix.MSG_DONTWAIT)
	if err != nil || n < unix.NLMSG_HDRLEN+diagReplySize || binary.NativeEndian.Uint16(reply[4:]) != unix.SOCK_DIAG_BY_FAMILY {
		return false
	}
	return binary.NativeEndian.Uint32(reply[unix.NLMSG_HDRLEN+diagInodeAt:]) == 0
}
