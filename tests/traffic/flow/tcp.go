package flow

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// drain is how long the end of a job is awaited: for what waits in queues.
const drain = 30 * time.Second

// request is the line that every connection begins with.
type request struct {
	Kind   string // one of the verbs
	Origin time.Time
	Length time.Duration
	// Of datagrams: who belongs together, how large they are and how many bits per second.
	ID   uint64
	Size int
	Rate int64
}

// What the far end is to do.
const (
	verbSink      = "sink"       // receive over this connection
	verbSource    = "source"     // send over this connection
	verbEcho      = "echo"       // return what comes
	verbUDPSink   = "udp-sink"   // receive datagrams until this connection is half closed
	verbUDPSource = "udp-source" // send datagrams to whoever says hello
)

func (j Job) tcp(ctx context.Context, origin time.Time) (Result, error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var all Result
	var failed error
	for range max(1, j.Streams) {
		wg.Go(func() {
			one, err := j.stream(ctx, origin)
			mu.Lock()
			defer mu.Unlock()
			all.merge(one)
			failed = errors.Join(failed, err)
		})
	}
	wg.Wait()
	return all, failed
}

// stream is one connection.
func (j Job) stream(ctx context.Context, origin time.Time) (Result, error) {
	req := request{Kind: verbSink, Origin: origin, Length: j.length()}
	if j.In {
		req.Kind = verbSource
	}
	conn, err := j.open(ctx, req)
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if j.In {
		return receive(conn, conn, origin, req.Length)
	}
	if err := send(conn, origin.Add(req.Length)); err != nil {
		return Result{}, fmt.Errorf("send: %w", err)
	}
	r, err := answer(conn, 0)
	r.Retransmits = retransmits(conn)
	return r, err
}

// open connects and says what the connection is for.
func (j Job) open(ctx context.Context, req request) (*net.TCPConn, error) {
	conn, err := j.dial(ctx, "tcp4")
	if err != nil {
		return nil, err
	}
	line, err := json.Marshal(req)
	if err == nil {
		_, err = conn.Write(append(line, '\n'))
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn.(*net.TCPConn), nil
}

// answer is the far end's count. It comes after the time that the far end still
// sends, when everything has arrived.
func answer(conn net.Conn, after time.Duration) (Result, error) {
	var r Result
	_ = conn.SetReadDeadline(time.Now().Add(after + drain))
	if err := json.NewDecoder(conn).Decode(&r); err != nil {
		return r, fmt.Errorf("count of the far end: %w", err)
	}
	if r.Error != "" {
		return r, errors.New("far end: " + r.Error)
	}
	return r, nil
}

// send writes the pattern until the time and closes its direction.
func send(conn *net.TCPConn, until time.Time) error {
	const chunk = 64 << 10
	for offset := int64(0); time.Now().Before(until); {
		// A connection that takes nothing at all ends the job all the same.
		_ = conn.SetWriteDeadline(until)
		n, err := conn.Write(piece(offset, chunk))
		offset += int64(n)
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
			break
		}
		if err != nil {
			return err
		}
	}
	return conn.CloseWrite()
}

// receive counts what comes from r, which reads conn, until its end.
func receive(conn net.Conn, r io.Reader, origin time.Time, length time.Duration) (Result, error) {
	m := meter{origin: origin}
	_ = conn.SetReadDeadline(origin.Add(length + drain))
	for buf := make([]byte, 256<<10); ; {
		n, err := r.Read(buf)
		if n > 0 {
			if err := check(m.bytes, buf[:n]); err != nil {
				return m.result(), err
			}
			m.add(n, time.Now())
		}
		if errors.Is(err, io.EOF) {
			return m.result(), nil
		}
		if err != nil {
			return m.result(), fmt.Errorf("after %d bytes: %w", m.bytes, err)
		}
	}
}

func retransmits(conn *net.TCPConn) (n int64) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			n = int64(info.Total_retrans)
		}
	})
	return n
}

// serveTCP is the far end of a connection.
func (s *Server) serveTCP(conn *net.TCPConn) {
	in := bufio.NewReaderSize(conn, 4<<10)
	line, err := in.ReadBytes('\n')
	var req request
	if err != nil || json.Unmarshal(line, &req) != nil {
		return
	}
	var r Result
	switch req.Kind {
	case verbSource:
		// Whoever reads too slowly notices the end by itself.
		_ = send(conn, time.Now().Add(req.Length))
		_, _ = io.Copy(io.Discard, in) // until the near end closes
		return
	case verbEcho:
		_, _ = io.Copy(conn, in)
		return
	case verbSink:
		r, err = receive(conn, in, req.Origin, req.Length)
	case verbUDPSink:
		r, err = s.udpSink(conn, in, req)
	case verbUDPSource:
		r, err = s.udpSource(conn, req)
	default:
		err = fmt.Errorf("kind %q is not known", req.Kind)
	}
	if err != nil {
		r.Error = err.Error()
	}
	_ = json.NewEncoder(conn).Encode(r)
}
