package tunnel_test

import (
	"errors"
	"runtime"
	"testing"

	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/hub"
	"github.com/kedge-io/kedge/tunnel/transport"
)

// Sessions that come and go leave nothing: no goroutine, stream or byte.
func TestThousandSessionsLeaveNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand sessions take a while: run without -short")
	}
	a := newAuthority(t)
	srv := startServer(t, a, "127.0.0.1:0", func(c *hub.Config) { c.Packet = func(tunnel.NodeName, []byte) {} })
	evil := newRogue(t, a, "edge-1", srv.addr)
	cycle := func() {
		evil.grant.Reset()
		session, err := evil.connect(t, false)
		if err != nil {
			t.Fatal(err)
		}
		grant := evil.grantCopy(t)
		for _, class := range []tunnel.Lane{tunnel.LaneInteractive, tunnel.LaneRelay} {
			lane, err := transport.DialLane(t.Context(), evil.cfg, grant, class, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer lane.Close()
		}
		session.Close(errors.New("over"))
		<-session.Done()
	}
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	for range 50 {
		cycle()
	}
	goroutines, before := runtime.NumGoroutine(), heap()
	for range 1000 {
		cycle()
	}
	eventually(t, "goroutines and memory to be given back", func() bool {
		return !srv.hub.Status()[0].Connected && runtime.NumGoroutine() <= goroutines && heap() < before+1<<20
	})
}
