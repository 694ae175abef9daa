package flow

import (
	"errors"
	"net"
	"sync"

	"golang.org/x/sys/unix"
)

// Server is the far end of jobs.
type Server struct {
	tcp *net.TCPListener
	udp *net.UDPConn
	wg  sync.WaitGroup

	mu     sync.Mutex
	closed bool
	conns  map[*net.TCPConn]bool
	flows  map[uint64]*datagrams
}

// Serve listens on the address, TCP and UDP.
func Serve(addr string) (*Server, error) {
	listener, err := net.Listen("tcp4", addr)
	if err != nil {
		return nil, err
	}
	// The same port, also where addr leaves the choice to the kernel.
	packets, err := net.ListenPacket("udp4", listener.Addr().String())
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	s := &Server{
		tcp: listener.(*net.TCPListener), udp: packets.(*net.UDPConn),
		conns: map[*net.TCPConn]bool{}, flows: map[uint64]*datagrams{},
	}
	enlarge(s.udp)
	s.wg.Go(s.accept)
	s.wg.Go(s.readUDP)
	return s, nil
}

// Addr is where it listens.
func (s *Server) Addr() string { return s.tcp.Addr().String() }

// Close ends all connections and waits until nothing runs.
func (s *Server) Close() {
	_ = s.tcp.Close()
	_ = s.udp.Close()
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *Server) accept() {
	for {
		conn, err := s.tcp.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		s.wg.Go(func() {
			defer func() { _ = conn.Close() }()
			if s.keep(conn) {
				s.serveTCP(conn)
			}
			s.forget(conn)
		})
	}
}

// keep remembers the connection for Close; false after that.
func (s *Server) keep(conn *net.TCPConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[conn] = true
	return !s.closed
}

func (s *Server) forget(conn *net.TCPConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

// enlarge gives a socket room for what arrives while its reader waits for a
// processor: what is lost then would look like loss on the way.
func enlarge(conn *net.UDPConn) {
	const room = 8 << 20
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, room) != nil {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, room)
		}
	})
}
