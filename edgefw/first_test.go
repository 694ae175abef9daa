package edgefw

import (
	"context"
	"net/netip"
	"testing"
	"time"
)

// started is how long a pod with that number waits for its rules.
func (w *world) started(t *testing.T, uid string) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	began := time.Now()
	w.loop.PodStarting(ctx, uid, Pod{UID: uid, Namespace: "shop", Addrs: []netip.Addr{netip.MustParseAddr("10.42.0.2")}})
	return time.Since(began)
}

func TestTheFirstPodsWaitForAServer(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		waited := make(chan time.Duration, 1)
		go func() { waited <- w.started(t, "uid-1") }()
		after(200 * time.Millisecond)
		s := w.connect()
		defer s.end()
		s.send(1, rules("one", nil))
		if took := <-waited; took < 200*time.Millisecond || took > 400*time.Millisecond {
			t.Errorf("the first pod waited %s, the server spoke after 200ms", took)
		}
		if took := w.started(t, "uid-2"); took > 100*time.Millisecond {
			t.Errorf("the next one waited %s", took)
		}
	})
}

func TestANodeThatIsCutOffSoonStartsPodsAtOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		if took := w.started(t, "uid-1"); took < time.Second {
			t.Errorf("the first pod waited %s", took)
		}
		after(firstWord)
		if took := w.started(t, "uid-2"); took > 100*time.Millisecond {
			t.Errorf("after a while a pod still waited %s", took)
		}
	})
}
