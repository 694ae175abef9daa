package flow

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

func (j Job) udp(ctx context.Context, origin time.Time) (Result, error) {
	if j.Size < headSize || j.Rate <= 0 {
		return Result{}, fmt.Errorf("datagrams of %d bytes at %d bit/s: want at least %d bytes and some rate", j.Size, j.Rate, headSize)
	}
	req := request{Kind: verbUDPSink, Origin: origin, Length: j.length(), ID: rand.Uint64(), Size: j.Size, Rate: j.Rate}
	if j.In {
		req.Kind = verbUDPSource
	}
	control, err := j.open(ctx, req)
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = control.Close() }()
	packets, err := j.dial(ctx, "udp4")
	if err != nil {
		return Result{}, err
	}
	defer packets.Close()
	defer context.AfterFunc(ctx, func() { _ = errors.Join(control.Close(), packets.Close()) })()
	if j.In {
		return j.udpReceive(control, packets.(*net.UDPConn), req)
	}
	return j.udpSend(control, packets, req)
}

// udpSend sends once the far end is ready, and asks it what came.
func (j Job) udpSend(control *net.TCPConn, packets net.Conn, req request) (Result, error) {
	ready := make([]byte, 1)
	_ = control.SetReadDeadline(time.Now().Add(drain))
	if _, err := io.ReadFull(control, ready); err != nil {
		return Result{}, fmt.Errorf("far end is not ready: %w", err)
	}
	buf := make([]byte, req.Size)
	sent, err := paced(req.Length, req.Size, req.Rate, func(seq uint64) error {
		head{kindData, req.ID, seq, time.Now()}.put(buf)
		_, err := packets.Write(buf)
		return notFull(err)
	})
	if err != nil {
		return Result{}, err
	}
	if err := json.NewEncoder(control).Encode(sent); err != nil {
		return Result{}, err
	}
	r, err := answer(control, 0)
	r.Sent = sent
	return r, err
}

// notFull forgives what a full queue of the sender says: the datagram is lost.
func notFull(err error) error {
	if errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ECONNREFUSED) {
		return nil
	}
	return err
}

// udpReceive says hello until something comes, and counts.
func (j Job) udpReceive(control *net.TCPConn, packets *net.UDPConn, req request) (Result, error) {
	enlarge(packets)
	d := newDatagrams(req.Origin)
	done := make(chan struct{})
	go func() {
		defer close(done)
		readDatagrams(packets, func(h head, n int, _ netip.AddrPort, _ []byte) {
			if h.kind == kindData && h.id == req.ID {
				d.add(h, n, time.Now())
			}
		})
	}()
	stop := make(chan struct{})
	go greet(packets, req.ID, d, stop)
	far, err := answer(control, req.Length)
	close(stop)
	if err == nil {
		d.settle(far.Sent)
	}
	_ = packets.Close()
	<-done
	r := d.result()
	r.Sent = far.Sent
	return r, err
}

func greet(packets net.Conn, id uint64, d *datagrams, stop <-chan struct{}) {
	buf := make([]byte, headSize)
	head{kindHello, id, 0, time.Now()}.put(buf)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for d.count() == 0 {
		_, _ = packets.Write(buf)
		select {
		case <-tick.C:
		case <-stop:
			return
		}
	}
}

// readDatagrams calls each with every datagram, until the socket is closed.
func readDatagrams(conn *net.UDPConn, each func(h head, n int, from netip.AddrPort, b []byte)) {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if h, ok := parseHead(buf[:n]); err == nil && ok {
			each(h, n, from, buf[:n])
		}
	}
}

func (s *Server) readUDP() {
	readDatagrams(s.udp, func(h head, n int, from netip.AddrPort, b []byte) {
		if h.kind == kindEcho {
			_, _ = s.udp.WriteToUDPAddrPort(b, from)
			return
		}
		s.mu.Lock()
		d := s.flows[h.id]
		s.mu.Unlock()
		switch {
		case d == nil:
		case h.kind == kindData:
			d.add(h, n, time.Now())
		case h.kind == kindHello:
			select {
			case d.hello <- from:
			default:
			}
		}
	})
}

// begin makes room for the datagrams of a request; end forgets them.
func (s *Server) begin(req request) (d *datagrams, end func()) {
	d = newDatagrams(req.Origin)
	s.mu.Lock()
	s.flows[req.ID] = d
	s.mu.Unlock()
	return d, func() {
		s.mu.Lock()
		delete(s.flows, req.ID)
		s.mu.Unlock()
	}
}

// udpSink counts until the near end says how many it has sent.
func (s *Server) udpSink(conn *net.TCPConn, in *bufio.Reader, req request) (Result, error) {
	d, end := s.begin(req)
	defer end()
	if _, err := conn.Write([]byte{'\n'}); err != nil {
		return Result{}, err
	}
	var sent int64
	if err := json.NewDecoder(in).Decode(&sent); err != nil {
		return d.result(), err
	}
	d.settle(sent)
	return d.result(), nil
}

// udpSource sends to whoever says hello with the right number.
func (s *Server) udpSource(conn *net.TCPConn, req request) (Result, error) {
	d, end := s.begin(req)
	defer end()
	var to netip.AddrPort
	timeout := time.NewTimer(drain)
	defer timeout.Stop()
	select {
	case to = <-d.hello:
	case <-timeout.C:
		return Result{}, fmt.Errorf("no datagram came from %s", conn.RemoteAddr())
	}
	if req.Size < headSize {
		return Result{}, fmt.Errorf("datagrams of %d bytes", req.Size)
	}
	buf := make([]byte, req.Size)
	sent, err := paced(req.Length, req.Size, req.Rate, func(seq uint64) error {
		head{kindData, req.ID, seq, time.Now()}.put(buf)
		_, err := s.udp.WriteToUDPAddrPort(buf, to)
		return notFull(err)
	})
	return Result{Sent: sent}, err
}
