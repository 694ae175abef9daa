package transport

import (
	"testing"
	"time"
)

func TestSilenceFollowsTheRoundTripWithinBounds(t *testing.T) {
	cfg := Config{}.withDefaults()
	for rtt, want := range map[time.Duration]time.Duration{
		0: 5 * time.Second, 100 * time.Millisecond: 5 * time.Second, 500 * time.Millisecond: 5 * time.Second,
		time.Second: 7 * time.Second, 3 * time.Second: 15 * time.Second, time.Minute: 20 * time.Second,
	} {
		if got := silenceLimit(cfg, rtt); got != want {
			t.Errorf("with a round trip of %v: %v, want %v", rtt, got, want)
		}
	}
}

func TestMeasuredRoundTripsAreSmoothed(t *testing.T) {
	l := &liveness{conn: &meter{}, cfg: Config{}.withDefaults()}
	l.measured(800 * time.Millisecond)
	l.measured(1600 * time.Millisecond)
	if got := time.Duration(l.smoothed.Load()); got != 900*time.Millisecond {
		t.Errorf("smoothed to %v", got)
	}
	if got := l.conn.limit(); got != 6600*time.Millisecond {
		t.Errorf("silent for %v at most", got)
	}
}
