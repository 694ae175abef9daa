package snapshot

import (
	"fmt"
	"time"

	"github.com/robfig/cron/v3"
)

// minEvery keeps snapshots from following each other without a pause.
const minEvery = time.Minute

// Schedule says when snapshots are made by themselves. Its zero value means never.
type Schedule struct {
	text  string
	every time.Duration
	cron  cron.Schedule
}

// ParseSchedule reads a duration such as 6h, a line of cron with five fields such
// as "30 3 * * *" (local time), one of its words such as @daily, or off.
func ParseSchedule(text string) (Schedule, error) {
	s := Schedule{text: text}
	if text == "" || text == "off" || text == "0" {
		return Schedule{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		if d < minEvery {
			return s, fmt.Errorf("--snapshot-schedule %s: the shortest time between two snapshots is %s; off for none", text, minEvery)
		}
		s.every = d
		return s, nil
	}
	var err error
	if s.cron, err = cron.ParseStandard(text); err != nil {
		return s, fmt.Errorf("--snapshot-schedule %q: expected a duration such as 6h, a line of cron such as \"30 3 * * *\", or off: %w", text, err)
	}
	now := time.Now()
	if s.next(now).IsZero() {
		return s, fmt.Errorf("--snapshot-schedule %q: that day never comes; off for no snapshots", text)
	}
	if s.distance(now) < minEvery {
		return s, fmt.Errorf("--snapshot-schedule %q: the shortest time between two snapshots is %s; off for none", text, minEvery)
	}
	return s, nil
}

// Off tells that there are no scheduled snapshots.
func (s Schedule) Off() bool { return s.every == 0 && s.cron == nil }

// String is what was parsed.
func (s Schedule) String() string {
	if s.Off() {
		return "off"
	}
	return s.text
}

// next is when the one after that of last is due; zero for never.
func (s Schedule) next(last time.Time) time.Time {
	if s.cron != nil {
		return s.cron.Next(last.Local())
	}
	return last.Add(s.every)
}

const (
	// firstAfter is when a server that has no snapshot makes its first one: the
	// cluster has taken shape by then.
	firstAfter = 10 * time.Minute
	// startGrace keeps one that came due while the server was off out of its
	// start.
	startGrace = 2 * time.Minute
	// retryFirst and retryMax bound the time between tries that fail.
	retryFirst = time.Minute
	retryMax   = time.Hour
)

// timetable decides when to save. Two clocks go in: wall, which may be wrong and
// jump, and up, the time since the server started, which only grows.
type timetable struct {
	schedule Schedule
	last     time.Time     // wall time of the last good one; zero for none
	failures int           // since then
	retry    time.Duration // up, earliest next try after a failure

	owing      string // what still is to be copied away
	owingTries int
	owingRetry time.Duration // up
}

// due tells whether to save now.
func (t *timetable) due(wall time.Time, up time.Duration) bool {
	switch {
	case t.schedule.Off() || up < t.retry:
		return false
	case t.failures > 0:
		return true
	case t.last.IsZero():
		return up >= min(firstAfter, t.schedule.distance(wall))
	}
	if t.last.After(wall) {
		// The clock was set back, or was ahead when that one was made: from now
		// on it is counted from here.
		t.last = wall
	}
	next := t.schedule.next(t.last)
	return up >= startGrace && !next.IsZero() && !wall.Before(next)
}

func (t *timetable) succeeded(wall time.Time) { t.last, t.failures, t.retry = wall, 0, 0 }

func (t *timetable) failed(up time.Duration) {
	t.retry = up + backOff(t.failures)
	t.failures++
}

// owe notes that the file at path could not be copied away, again if it is the
// same as before.
func (t *timetable) owe(path string, up time.Duration) {
	if path != t.owing {
		t.owing, t.owingTries = path, 0
	}
	t.owingRetry = up + backOff(t.owingTries)
	t.owingTries++
}

// owed is what to copy away now.
func (t *timetable) owed(up time.Duration) (string, bool) {
	return t.owing, t.owing != "" && up >= t.owingRetry
}

func (t *timetable) paid() { t.owing, t.owingTries = "", 0 }

// backOff doubles the time after each of tries that failed.
func backOff(tries int) time.Duration { return min(retryFirst<<min(tries, 10), retryMax) }
