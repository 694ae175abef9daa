package spoke

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/mux"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBulkLanesComeOnDemandAndGoWhenIdle(t *testing.T) {
	cfg := mux.Config{Ping: 10 * time.Millisecond}
	server := mux.New(false, cfg)
	made := make(chan laneKey, 16)
	k := makeLanes(slog.New(slog.DiscardHandler))
	k.idleCheck, k.bulkIdle = 5*time.Millisecond, 50*time.Millisecond
	k.dial = func(_ context.Context, class tunnel.Lane, index int) (net.Conn, error) {
		theirs, ours := net.Pipe()
		if _, err := server.Attach(class, index, theirs); err != nil {
			return nil, err
		}
		made <- laneKey{class, index}
		return ours, nil
	}
	k.mux = mux.New(true, cfg)
	defer func() {
		k.close(errors.New("over"))
		server.Close(errors.New("over"))
		<-server.Done()
	}()
	if k.keep(laneKey{class: tunnel.LaneInteractive}); <-made != (laneKey{tunnel.LaneInteractive, 0}) {
		t.Fatal("the interactive lane is not the first")
	}
	for range 5 {
		k.want(tunnel.LaneBulk)
	}
	k.want(tunnel.LaneControl)
	seen := map[laneKey]bool{<-made: true, <-made: true}
	if !seen[laneKey{tunnel.LaneBulk, 0}] || !seen[laneKey{tunnel.LaneBulk, 1}] {
		t.Fatalf("made %v", seen)
	}
	deadline := time.After(20 * time.Second)
	for {
		k.mu.Lock()
		left := len(k.kept)
		k.mu.Unlock()
		if left == 1 {
			break
		}
		select {
		case key := <-made:
			t.Fatalf("lane %v was made although nobody asked", key)
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			t.Fatalf("%d lanes are left", left)
		}
	}
	if k.want(tunnel.LaneBulk); <-made != (laneKey{tunnel.LaneBulk, 0}) {
		t.Error("no bulk lane comes again")
	}
}
