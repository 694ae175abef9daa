package datastore

import (
	"strings"
	"testing"
	"time"
)

var testRules = rules{
	checkpointAt: 4 << 20, checkpointEvery: 10 * time.Minute, truncateAt: 64 << 20,
	compactEvery: 5 * time.Minute, compactSlack: 500, stallAfter: 20 * time.Minute, vacuumAt: 8 << 20,
}

func TestDecide(t *testing.T) {
	t0 := time.Unix(1_000_000, 0)
	for _, tc := range []struct {
		name  string
		f     facts
		state watchState
		want  actions
		says  string
	}{
		{name: "nothing to do", f: facts{revision: 900}},
		{name: "young log waits", f: facts{logBytes: 1 << 20, pendingBytes: 1 << 20}},
		{name: "old log is written", f: facts{now: t0.Add(10 * time.Minute), pendingBytes: 1}, want: actions{checkpoint: true}},
		{name: "large log is written", f: facts{pendingBytes: 4 << 20}, want: actions{checkpoint: true}},
		{name: "huge log holds writers up", f: facts{logBytes: 64 << 20}, want: actions{checkpoint: true, truncate: true}},
		{name: "compaction waits for its turn", f: facts{revision: 9000}, state: watchState{compactTarget: 5000}},
		{name: "compaction keeps what was current the last time", f: facts{now: t0.Add(5 * time.Minute), revision: 9000},
			state: watchState{compactTarget: 5000}, want: actions{compactTo: 5000}},
		{name: "compaction keeps a thousand", f: facts{now: t0.Add(5 * time.Minute), revision: 9000},
			state: watchState{compactTarget: 9000}, want: actions{compactTo: 8000}},
		{name: "an idle cluster is not compacted", f: facts{now: t0.Add(5 * time.Minute), revision: 1400}, state: watchState{compactTarget: 1400}},
		{name: "free pages are returned", f: facts{pageBytes: 20 << 20, freePageBytes: 9 << 20}, want: actions{vacuum: true}},
		{name: "a little free space is kept", f: facts{pageBytes: 90 << 20, freePageBytes: 9 << 20}},
		{name: "stall", f: facts{now: t0.Add(20 * time.Minute), revision: 9000}, says: "compaction stalled for 20m0s at revision 0"},
		{name: "log that nobody can reset", f: facts{logBytes: 256 << 20}, want: actions{checkpoint: true, truncate: true}, says: "256 MiB"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.f.now.IsZero() {
				tc.f.now = t0
			}
			tc.f.diskFree = 1 << 30
			tc.state.lastCheckpoint, tc.state.lastCompaction, tc.state.lastAdvance = t0, t0, t0
			got := testRules.decide(tc.f, &tc.state)
			if (got.trouble != nil) != (tc.says != "") || (got.trouble != nil && !strings.Contains(got.trouble.Error(), tc.says)) {
				t.Errorf("trouble %v, want %q", got.trouble, tc.says)
			}
			got.trouble = nil
			if got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestWritersAreNotHeldUpAgainAndAgainForAReader(t *testing.T) {
	r, now := testRules, time.Unix(1_000_000, 0)
	r.truncateEvery = 30 * time.Second
	state := newWatchState(now)
	tries := 0
	for range 60 { // two minutes of looks, and all that time somebody reads
		now = now.Add(2 * time.Second)
		if r.decide(facts{now: now, logBytes: 80 << 20, pendingBytes: 70 << 20, diskFree: 1 << 30}, &state).truncate {
			tries++
		}
	}
	if tries != 4 {
		t.Errorf("%d tries", tries)
	}
}

func TestFullDiskStopsCompactionAndIsReported(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	state := newWatchState(now)
	state.compactTarget = 9000
	a := testRules.decide(facts{now: now.Add(time.Hour), revision: 9000, diskFree: 1 << 20}, &state)
	if a.compactTo != 0 || a.trouble == nil || !strings.Contains(a.trouble.Error(), "disk nearly full") {
		t.Errorf("%+v", a)
	}
}
