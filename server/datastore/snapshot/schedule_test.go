package snapshot

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/kedge-io/kedge/internal/lifecycle"
)

func mustParse(t testing.TB, text string) Schedule {
	t.Helper()
	s, err := ParseSchedule(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSchedulesAreReadAndRubbishIsRefused(t *testing.T) {
	for _, text := range []string{"6h", "90m", "30 3 * * *", "@daily", "*/5 * * * *", "@every 90s"} {
		if s := mustParse(t, text); s.Off() || s.String() != text {
			t.Errorf("%q: %+v", text, s)
		}
	}
	for _, text := range []string{"", "off", "0"} {
		if s := mustParse(t, text); !s.Off() || s.String() != "off" {
			t.Errorf("%q: %+v", text, s)
		}
	}
	for _, text := range []string{"5s", "-6h", "6", "every hour", "61 * * * *", "* * * *", "@every 10s", "0 0 31 2 *"} {
		if s, err := ParseSchedule(text); err == nil {
			t.Errorf("%q: %+v", text, s)
		}
	}
}

func TestTimetable(t *testing.T) {
	noon := time.Date(2027, 3, 1, 12, 0, 0, 0, time.Local)
	late := 24 * time.Hour // up, beyond all graces
	six, night := mustParse(t, "6h"), mustParse(t, "30 3 * * *")
	for name, tc := range map[string]struct {
		table timetable
		wall  time.Time
		up    time.Duration
		want  bool
	}{
		"off":                       {timetable{}, noon, late, false},
		"nothing yet, young":        {timetable{schedule: six}, noon, 5 * time.Minute, false},
		"nothing yet":               {timetable{schedule: six}, noon, 10 * time.Minute, true},
		"nothing yet, often":        {timetable{schedule: mustParse(t, "3m")}, noon, 3 * time.Minute, true},
		"nothing yet, cron":         {timetable{schedule: night}, noon, 10 * time.Minute, true},
		"too early":                 {timetable{schedule: six, last: noon.Add(-5 * time.Hour)}, noon, late, false},
		"due":                       {timetable{schedule: six, last: noon.Add(-6 * time.Hour)}, noon, late, true},
		"due while off, young":      {timetable{schedule: six, last: noon.Add(-60 * time.Hour)}, noon, time.Minute, false},
		"due while off":             {timetable{schedule: six, last: noon.Add(-60 * time.Hour)}, noon, 2 * time.Minute, true},
		"cron later":                {timetable{schedule: night, last: noon.Add(-8 * time.Hour)}, noon, late, false},
		"cron due":                  {timetable{schedule: night, last: noon.Add(-9 * time.Hour)}, noon, late, true},
		"clock in 1970, none":       {timetable{schedule: six}, time.Unix(60, 0), late, true},
		"clock was set back":        {timetable{schedule: six, last: noon.Add(1000 * time.Hour)}, noon, late, false},
		"after a failure, at once":  {timetable{schedule: six, last: noon, failures: 1, retry: time.Hour}, noon, 59 * time.Minute, false},
		"after a failure, a minute": {timetable{schedule: six, last: noon, failures: 1, retry: time.Hour}, noon, time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.table.due(tc.wall, tc.up); got != tc.want {
				t.Errorf("due: %v", got)
			}
		})
	}
}

func TestAClockThatJumpsCostsOneSnapshotAtMost(t *testing.T) {
	noon := time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)
	table := timetable{schedule: mustParse(t, "6h"), last: noon}
	// Back to 1970: counted from there on.
	if table.due(time.Unix(0, 0), time.Hour) || !table.due(time.Unix(6*3600, 0), 7*time.Hour) {
		t.Error("after a jump back it is not due six hours later")
	}
	table.succeeded(time.Unix(6*3600, 0))
	// Forward again: due once, then in six hours.
	if !table.due(noon, 8*time.Hour) {
		t.Error("after a jump forward it is not due")
	}
	table.succeeded(noon)
	if table.due(noon.Add(time.Hour), 9*time.Hour) {
		t.Error("it is due twice")
	}
}

func TestSnapshotMadeWithAClockAheadKeepsNoServerFromSaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ahead := time.Now().AddDate(70, 0, 0)
		s := newServer(t, func(c *Config) {
			c.Schedule, c.Now = mustParse(t, "6h"), func() time.Time { return ahead }
		})
		s.scheduledSave(t)
		s.cfg.Now = time.Now
		s.Manager = New(s.cfg)
		// It never runs for six hours.
		s.run(t, func() {
			lifecycle.Pause(t.Context(), 30*time.Minute)
			synctest.Wait()
			if got := len(s.left(t)); got != 2 {
				t.Errorf("%d snapshots", got)
			}
		})
	})
}

func TestTriesThatFailGetRarer(t *testing.T) {
	var table timetable
	var up, before time.Duration
	for i := range 12 {
		table.failed(up)
		pause := table.retry - up
		if pause < before || pause > time.Hour || pause < time.Minute {
			t.Errorf("try %d: pause %s after %s", i, pause, before)
		}
		before, up = pause, table.retry
	}
	if before != time.Hour {
		t.Errorf("longest pause %s", before)
	}
}

// run runs the component in fake time for as long as f takes.
func (s *server) run(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error, 1)
	ready := make(chan struct{})
	comp := s.Component()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- comp.Run(ctx, func() { close(ready) }) }()
	<-ready
	f()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
}

func TestComponentSavesOnScheduleAndSurvivesTrouble(t *testing.T) {
	defer goleak.VerifyNone(t)
	synctest.Test(t, func(t *testing.T) {
		var report fault
		away := &bucket{dir: t.TempDir()}
		s := newServer(t, func(c *Config) {
			c.Schedule, c.Remote, c.Now = mustParse(t, "6h"), away, time.Now
			c.Report = report.set
		})
		s.run(t, func() {
			if _, err := ReadToken(s.cfg.Token); err != nil {
				t.Errorf("ready without a token: %v", err)
			}
			wait := func(d time.Duration, want int) {
				t.Helper()
				lifecycle.Pause(t.Context(), d)
				synctest.Wait()
				if got := len(s.left(t)); got != want {
					t.Errorf("%d snapshots, want %d", got, want)
				}
			}
			wait(9*time.Minute, 0)
			wait(2*time.Minute, 1)
			wait(5*time.Hour+45*time.Minute, 1)
			wait(20*time.Minute, 2)
			s.db.set(errors.New("disk on fire"))
			wait(6*time.Hour, 2)
			if last := report.get(); !errors.Is(last, s.db.get()) || s.State().Failures < 1 {
				t.Errorf("reported %v", last)
			}
			s.db.set(nil)
			away.set(errors.New("bucket is gone"))
			wait(time.Hour+time.Minute, 3)
			if there, _ := List(away.dir); len(there) != 2 || report.get() == nil {
				t.Errorf("away %d, reported %v", len(there), report.get())
			}
			away.set(nil)
			wait(time.Hour, 3)
			if there, _ := List(away.dir); len(there) != 3 || report.get() != nil {
				t.Errorf("away %d, reported %v", len(there), report.get())
			}
		})
		// A restart keeps the rhythm: neither at once nor later than without it.
		before := len(s.left(t))
		s.Manager = New(s.cfg)
		s.run(t, func() {
			lifecycle.Pause(t.Context(), 30*time.Minute)
			synctest.Wait()
			if got := len(s.left(t)); got != before {
				t.Errorf("after a restart %d snapshots, before %d", got, before)
			}
		})
	})
}

func TestComponentRunsWithAFolderThatCannotBeMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var last fault
		s := newServer(t, func(c *Config) {
			c.Dir, c.Schedule = "/dev/null/snapshots", mustParse(t, "1h")
			c.Report = last.set
		})
		s.run(t, func() {
			lifecycle.Pause(t.Context(), 2*time.Hour)
			synctest.Wait()
			if last.get() == nil || s.State().Failures == 0 {
				t.Errorf("reported %v, %+v", last.get(), s.State())
			}
		})
	})
}
