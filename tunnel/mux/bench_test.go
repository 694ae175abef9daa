package mux

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/kedge-io/kedge/tunnel"
)

// The benchmarks compare with plain TLS on the same path in the same run:
//
//	go test -run - -bench . ./tunnel/mux
//
// A copy goes from a TCP source through a relaying end, TLS, the other relaying
// end and TCP to a sink, all in this process over loopback.

func tlsConfigs(tb testing.TB) (client, server *tls.Config) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"far"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	server = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	return &tls.Config{InsecureSkipVerify: true}, server
}

// tlsPair is a TLS connection over loopback.
func tlsPair(tb testing.TB) (a, b net.Conn) {
	tb.Helper()
	client, server := tlsConfigs(tb)
	x, y := tcpPair(tb)
	far := tls.Server(y, server)
	errs := make(chan error, 1)
	go func() { errs <- far.Handshake() }()
	near := tls.Client(x, client)
	if err := near.Handshake(); err != nil {
		tb.Fatal(err)
	}
	if err := <-errs; err != nil {
		tb.Fatal(err)
	}
	return near, far
}

// path makes a way for one copy: what is written to in comes out of out.
type path func(b *testing.B) (in, out net.Conn)

// relayed joins TCP connections to both ends of conn: in -> near, far -> out.
func relayed(b *testing.B, near, far net.Conn) (in, out net.Conn) {
	in, inner := tcpPair(b)
	outer, out := tcpPair(b)
	go func() {
		_, _ = io.Copy(near, inner)
		_ = near.(interface{ CloseWrite() error }).CloseWrite()
	}()
	go func() {
		_, _ = io.Copy(outer, far)
		_ = outer.(*net.TCPConn).CloseWrite()
	}()
	b.Cleanup(func() { near.Close(); far.Close(); inner.Close(); outer.Close() })
	return in, out
}

func benchCopy(b *testing.B, streams int, p path) {
	chunk := make([]byte, 1<<20)
	var wg sync.WaitGroup
	ins, outs := make([]net.Conn, streams), make([]net.Conn, streams)
	for i := range streams {
		ins[i], outs[i] = p(b)
	}
	b.SetBytes(int64(len(chunk)))
	b.ResetTimer()
	cpu := cpuTime(b)
	for i := range streams {
		n := b.N / streams
		if i < b.N%streams {
			n++
		}
		wg.Go(func() {
			for range n {
				_, _ = ins[i].Write(chunk)
			}
			_ = ins[i].(*net.TCPConn).CloseWrite()
		})
		wg.Go(func() {
			if got, err := io.Copy(io.Discard, outs[i]); err != nil || got != int64(n)<<20 {
				b.Errorf("%d bytes: %v", got, err)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(cpuTime(b)-cpu)/float64(b.N), "cpu-ns/op")
	for i := range streams {
		ins[i].Close()
		outs[i].Close()
	}
}

// cpuTime is what the process has used of processors. It tells more than the
// time that went by where other programs run.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// muxPath opens a stream per copy; the far end's target is the TCP connection.
func muxPath(b *testing.B, bulk int) path {
	targets := make(chan net.Conn, 1)
	e := newEnds(b, Config{}, Config{Dial: func(context.Context, tunnel.Target) (net.Conn, error) { return <-targets, nil }})
	for i := range bulk + 1 {
		class, index := tunnel.LaneInteractive, 0
		if i > 0 {
			class, index = tunnel.LaneBulk, i-1
		}
		x, y := tlsPair(b)
		e.attachOver(class, index, x, y)
	}
	return func(b *testing.B) (in, out net.Conn) {
		outer, out := tcpPair(b)
		targets <- outer
		near := mustOpen(b, e.near, "any")
		in, inner := tcpPair(b)
		go func() {
			_, _ = io.Copy(near, inner)
			_ = near.CloseWrite()
		}()
		b.Cleanup(func() { near.Close(); inner.Close() })
		return in, out
	}
}

func tlsPath(b *testing.B) (in, out net.Conn) {
	near, far := tlsPair(b)
	return relayed(b, near, far)
}

func BenchmarkCopy(b *testing.B) {
	for _, streams := range []int{1, 8} {
		name := map[int]string{1: "1-stream", 8: "8-streams"}[streams]
		b.Run(name+"/tls", func(b *testing.B) { benchCopy(b, streams, tlsPath) })
		b.Run(name+"/mux", func(b *testing.B) { benchCopy(b, streams, muxPath(b, 1)) })
		b.Run(name+"/mux-2-lanes", func(b *testing.B) { benchCopy(b, streams, muxPath(b, 2)) })
		b.Run(name+"/mux-interactive-only", func(b *testing.B) { benchCopy(b, streams, muxPath(b, 0)) })
	}
}

func benchRoundTrip(b *testing.B, conn net.Conn) {
	buf := make([]byte, 100)
	for b.Loop() {
		if _, err := conn.Write(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(conn, buf); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRoundTrip measures 100 bytes there and back.
func BenchmarkRoundTrip(b *testing.B) {
	b.Run("tls", func(b *testing.B) {
		near, far := tlsPair(b)
		defer near.Close()
		go func() { _, _ = io.Copy(far, far); far.Close() }()
		benchRoundTrip(b, near)
	})
	b.Run("mux", func(b *testing.B) {
		e := newEnds(b, Config{}, Config{})
		x, y := tlsPair(b)
		e.attachOver(tunnel.LaneInteractive, 0, x, y)
		benchRoundTrip(b, mustOpen(b, e.near, "echo"))
	})
}

// BenchmarkOpen measures dialling, one round trip and closing.
func BenchmarkOpen(b *testing.B) {
	e := newEnds(b, Config{}, Config{})
	x, y := tlsPair(b)
	e.attachOver(tunnel.LaneInteractive, 0, x, y)
	buf := make([]byte, 100)
	for b.Loop() {
		conn, err := e.near.Open(b.Context(), target("echo"))
		if err != nil {
			b.Fatal(err)
		}
		_, _ = conn.Write(buf)
		if _, err := io.ReadFull(conn, buf); err != nil {
			b.Fatal(err)
		}
		conn.Close()
	}
}

// BenchmarkPackets measures packets of 1400 bytes over a relay lane. What the
// queue drops is reported.
func BenchmarkPackets(b *testing.B) {
	var got atomic.Int64
	e := newEnds(b, Config{}, Config{Packet: func([]byte) { got.Add(1) }})
	x, y := tlsPair(b)
	e.attachOver(tunnel.LaneRelay, 0, x, y)
	p := make([]byte, 1400)
	b.SetBytes(int64(len(p)))
	for !e.near.SendPacket(p) {
		runtime.Gosched()
	}
	b.ResetTimer()
	cpu := cpuTime(b)
	for range b.N - 1 {
		for !e.near.SendPacket(p) {
			runtime.Gosched() // the queue is full
		}
	}
	for st := e.near.Stats(); ; st = e.near.Stats() {
		if l := st.Lanes; len(l) == 0 {
			b.Fatal("the lane ended")
		}
		if st.PacketsOut == got.Load() && e.near.queuedPackets() == 0 {
			b.ReportMetric(float64(b.N-int(got.Load()))/float64(b.N), "too-old/op")
			break
		}
		runtime.Gosched()
	}
	b.ReportMetric(float64(cpuTime(b)-cpu)/float64(b.N), "cpu-ns/op")
}

func (s *Session) queuedPackets() int {
	l := s.routes.Load().relay
	l.out.mu.Lock()
	defer l.out.mu.Unlock()
	if l.out.busy {
		return 1
	}
	return l.out.packets.size
}

// BenchmarkIdle reports what an idle session with one interactive lane costs at
// one end: its memory without that of TCP and TLS, and the share of a processor
// that the heartbeats of 1000 take over plain TCP.
func BenchmarkIdle(b *testing.B) {
	const sessions = 1000
	memory := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	for b.Loop() {
		conns := make([]net.Conn, 0, 2*sessions)
		for range sessions {
			x, y := tcpPair(b)
			conns = append(conns, x, y)
		}
		before := memory()
		var all []*Session
		for i := range sessions {
			near, far := New(true, Config{}), New(false, Config{})
			_, _ = near.Attach(tunnel.LaneInteractive, 0, conns[2*i])
			_, _ = far.Attach(tunnel.LaneInteractive, 0, conns[2*i+1])
			all = append(all, near, far)
		}
		for _, s := range all {
			for s.Stats().Bytes[tunnel.LaneInteractive].In == 0 {
				runtime.Gosched()
			}
		}
		b.ReportMetric(float64(memory()-before)/float64(len(all)), "B/session")
		begin, cpu := time.Now(), cpuTime(b)
		<-time.After(4 * time.Second)
		share := float64(cpuTime(b)-cpu) / float64(time.Since(begin)) * 100
		b.ReportMetric(share*1000/float64(len(all)), "cpu-%/1000")
		for _, s := range all {
			s.Close(errDone)
		}
		for _, s := range all {
			<-s.Done()
		}
	}
}
