package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
)

// nameServer answers for the hosts of public sites on the exchange's router, over UDP. It is the
// resolver of every host.
type nameServer struct {
	conn net.PacketConn

	mu    sync.Mutex
	names map[string]string // lower-case with a final dot -> IPv4 address
}

// set gives a name another address.
func (s *nameServer) set(name, addr string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names[strings.ToLower(name)] = addr
}

func (s *nameServer) lookup(name string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	addr, ok := s.names[strings.ToLower(name)]
	return addr, ok
}

func serveNames(n *network, names map[string]string) (*nameServer, error) {
	s := &nameServer{names: names}
	err := n.do(func() error {
		var err error
		s.conn, err = net.ListenPacket("udp4", exchangeIP.String()+":53")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("name server: %w", err)
	}
	go s.serve()
	return s, nil
}

func (s *nameServer) close() { _ = s.conn.Close() }

func (s *nameServer) serve() {
	buf := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		if answer, err := s.answer(buf[:n]); err == nil {
			_, _ = s.conn.WriteTo(answer, from)
		}
	}
}

// answer makes the response to a query: the address, no data for another type, or NXDOMAIN.
func (s *nameServer) answer(query []byte) ([]byte, error) {
	var p dnsmessage.Parser
	head, err := p.Start(query)
	if err != nil {
		return nil, err
	}
	q, err := p.Question()
	if err != nil {
		return nil, err
	}
	reply := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: head.ID, Response: true, Authoritative: true, RecursionDesired: head.RecursionDesired, RecursionAvailable: true},
		Questions: []dnsmessage.Question{q},
	}
	addr, known := s.lookup(q.Name.String())
	switch {
	case !known:
		reply.RCode = dnsmessage.RCodeNameError
	case q.Type == dnsmessage.TypeA:
		reply.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 5},
			Body:   &dnsmessage.AResource{A: netip.MustParseAddr(addr).As4()},
		}}
	}
	return reply.Pack()
}
