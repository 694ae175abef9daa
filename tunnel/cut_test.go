package tunnel_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/spoke"
)

var errOnce = errors.New("once more")

// cutter carries a number of bytes for all connections of a node and then cuts
// them, with or without a word.
type cutter struct {
	done func()

	mu    sync.Mutex
	left  int
	reset bool
	conns []net.Conn
}

func (c *cutter) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left <= 0 {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	c.conns = append(c.conns, conn)
	return &cutConn{conn, c}, nil
}

func (c *cutter) carried(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left <= 0 {
		return
	}
	if c.left -= n; c.left > 0 {
		return
	}
	for _, conn := range c.conns {
		if c.reset {
			_ = conn.(*net.TCPConn).SetLinger(0)
		}
		_ = conn.Close()
	}
	c.done()
}

type cutConn struct {
	net.Conn
	cutter *cutter
}

func (c *cutConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.cutter.carried(n)
	return n, err
}

func (c *cutConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.cutter.carried(n)
	return n, err
}

// footprint is what a process holds.
type footprint struct {
	goroutines, files int
	heap              int64
}

func takeFootprint(t testing.TB) footprint {
	t.Helper()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return footprint{runtime.NumGoroutine(), len(files), int64(m.HeapAlloc)}
}

// TestThousandCutsLeaveNothing cuts links anywhere between the first byte of
// the handshake and streams in full use.
func TestThousandCutsLeaveNothing(t *testing.T) {
	cuts := 1000
	if testing.Short() {
		cuts = 100
	}
	a := newAuthority(t)
	addr, rules := listen(t, echo)
	srv := startServer(t, a, "127.0.0.1:0", nil)
	cfg := nodeConfig(t, a, nodeNames("edge-1"), srv.addr, rules)
	random := rand.New(rand.NewPCG(3, 9))
	reached := 0
	cycle := func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		// As many cuts below 1 kB as between 100 kB and 1 MB.
		c := &cutter{done: cancel, left: 1 << random.IntN(20), reset: random.IntN(2) == 0}
		c.left += random.IntN(c.left)
		cfg.NetDial = c.dial
		s, err := spoke.New(cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() { _ = s.Run(ctx, func() {}) })
		defer wg.Wait()
		conn, err := srv.hub.DialNode(ctx, "edge-1", "tcp", addr)
		if err != nil {
			return
		}
		reached++
		defer conn.Close()
		wg.Go(func() { _, _ = io.Copy(io.Discard, conn) })
		for buf := make([]byte, 8<<10); err == nil; {
			_, err = conn.Write(buf)
		}
		<-ctx.Done()
	}
	for range cuts / 20 {
		cycle()
	}
	before := takeFootprint(t)
	for range cuts {
		cycle()
	}
	if reached < cuts/10 || reached > cuts {
		t.Errorf("%d of %d links were cut in use", reached, cuts)
	}
	eventually(t, "everything to be given back", func() bool {
		now := takeFootprint(t)
		// 1 kB for each cut would be 1 MB.
		return now.goroutines <= before.goroutines && now.files <= before.files && now.heap < before.heap+512<<10
	})
	st := srv.hub.Status()
	if len(st) != 1 || st[0].Node != tunnel.NodeName("edge-1") || st[0].Connected || st[0].Streams != 0 {
		t.Errorf("status %+v", st)
	}
}
