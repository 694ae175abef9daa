package edgefw

import (
	"log/slog"
	"slices"
	"time"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/store"
)

const (
	// saveCalm is the least time between two writes where only sets or pods
	// changed: flash has only so many.
	saveCalm = 30 * time.Second
	// saveRetry is the pause after a write that failed.
	saveRetry = time.Minute
)

// urgency is when something is to be written.
type urgency uint8

const (
	later urgency = iota
	now
)

// saver keeps the last proven state on disk. It is the loop's own.
type saver struct {
	file  string
	log   *slog.Logger
	held  bool
	due   time.Time // zero for nothing to do
	wrote time.Time
	err   error
}

// hold leaves a damaged file as it is until something was proven.
func (s *saver) hold() { s.held = true }

// want has the state written.
func (s *saver) want(u urgency) {
	s.held = false
	due := time.Now()
	if u == later {
		due = s.wrote.Add(saveCalm)
	}
	if s.due.IsZero() || due.Before(s.due) {
		s.due = due
	}
}

// next bounds a wait by what is due.
func (s *saver) next(wait time.Duration) time.Duration {
	if s.due.IsZero() || s.held {
		return wait
	}
	return max(0, min(wait, time.Until(s.due)))
}

// write writes if that is due, or in any case.
func (s *saver) write(state *store.State, anyway bool) {
	if s.due.IsZero() || s.held || !anyway && time.Now().Before(s.due) {
		return
	}
	_, err := store.Write(s.file, state)
	if err == nil {
		s.due, s.wrote, s.err = time.Time{}, time.Now(), nil
		return
	}
	if s.err == nil {
		s.log.Error("the rules in force are not on disk, so a boot would begin with former ones", "error", err)
	}
	s.err, s.due = err, time.Now().Add(saveRetry)
}

// wantedNow says how urgently what is proven now is to be on disk: at once where
// a boot without it would open or close what it must not. The first policy of a
// namespace is such a thing, as pods that are not known are closed from then on.
func (l *Loop) wantedNow() urgency {
	p := l.judge.proven
	if p.manifest.Host != l.savedHost || !slices.Equal(p.ruleset.Pods.Guarded, l.savedGuarded) {
		return now
	}
	return later
}

// save writes what is proven if that is due.
func (l *Loop) save(facts model.Facts) {
	l.facts = facts
	l.saver.write(l.state(), false)
	if l.saver.due.IsZero() {
		l.savedHost, l.savedGuarded = l.judge.proven.manifest.Host, l.judge.proven.ruleset.Pods.Guarded
	}
}

// flush writes what is proven and not yet on disk.
func (l *Loop) flush() { l.saver.write(l.state(), true) }

func (l *Loop) state() *store.State {
	p := l.judge.proven
	return &store.State{Revision: p.revision, Ruleset: p.ruleset, Facts: l.facts, Names: p.names, Refused: l.judge.refused}
}
