package flow

import (
	"testing"
	"time"
)

func TestMeterBinsByTime(t *testing.T) {
	origin := time.Now()
	m := meter{origin: origin}
	for _, a := range []struct {
		at time.Duration
		n  int
	}{{10 * time.Millisecond, 1}, {99 * time.Millisecond, 2}, {100 * time.Millisecond, 4}, {350 * time.Millisecond, 8}} {
		m.add(a.n, origin.Add(a.at))
	}
	r := m.result()
	if r.Bytes != 15 || len(r.Bins) != 4 || r.Bins[0] != 3 || r.Bins[1] != 4 || r.Bins[3] != 8 || r.Gap != 250*time.Millisecond {
		t.Errorf("%+v", r)
	}
	if got := r.Mean(0, 200*time.Millisecond); got != 7*8*5 {
		t.Errorf("mean %v", got)
	}
	if got := r.Mean(300*time.Millisecond, time.Second); got != 8*8/0.7 {
		t.Errorf("mean beyond the end %v", got)
	}
	if got := r.Peak(200 * time.Millisecond); got != 8*8*5 {
		t.Errorf("peak %v", got)
	}
}

func TestDatagramsLateTwiceAndLost(t *testing.T) {
	now := time.Now()
	d := newDatagrams(now)
	for _, seq := range []uint64{0, 2, 1, 1, 200} {
		d.add(head{kindData, 1, seq, now}, 100, now)
	}
	if r := d.result(); r.Received != 4 || r.Reordered != 1 || r.Bytes != 400 {
		t.Errorf("%+v", r)
	}
}

func TestDelaysAreSorted(t *testing.T) {
	got := delaysOf([]time.Duration{5, 1, 4, 2, 3})
	if got != (Delays{N: 5, P50: 3, P90: 4, P99: 4, Max: 5}) {
		t.Errorf("%+v", got)
	}
}
