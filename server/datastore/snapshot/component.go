package snapshot

import (
	"context"
	"errors"
	"time"

	"github.com/kedge-io/kedge/internal/fsx"
	"github.com/kedge-io/kedge/internal/lifecycle"
)

// Name of the component.
const Name = "snapshots"

// tick is how often the clock is looked at: it may jump, so no timer is set for a
// moment that is hours away. Looking reads no disk.
const tick = 15 * time.Second

// Component saves on schedule. It is ready when it knows what is there. Trouble
// degrades it and never ends it.
func (m *Manager) Component(needs ...string) lifecycle.Component {
	return lifecycle.Component{Name: Name, Needs: needs, Run: m.run}
}

func (m *Manager) run(ctx context.Context, ready func()) error {
	m.mu.Lock()
	m.life = ctx
	m.mu.Unlock()
	table := m.begin(ctx)
	ready()
	start := time.Now()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if table.due(m.cfg.Now(), time.Since(start)) {
			m.scheduled(ctx, table, start)
		} else {
			m.again(ctx, table, time.Since(start))
		}
	}
}

// begin makes the token, tidies up and finds the last scheduled snapshot.
func (m *Manager) begin(ctx context.Context) *timetable {
	table := &timetable{schedule: m.cfg.Schedule}
	pin, err := m.cfg.Pin()
	if err == nil {
		_, err = m.token(pin)
	}
	if err == nil {
		err = m.tidy(ctx)
	}
	if err != nil && ctx.Err() == nil {
		m.note(func(s *State) { s.LastError = err.Error() })
		m.cfg.Report(err)
	}
	m.count()
	// Made with a clock that was ahead, it says nothing of when the next one is
	// due; counted from each start, that would never be where starts are frequent.
	if last := m.lastScheduled(); !last.After(m.cfg.Now()) {
		table.last = last
	}
	return table
}

// tidy removes what a killed save has left, unless somebody else is saving there.
func (m *Manager) tidy(ctx context.Context) error {
	soon, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	release, err := m.lock(soon)
	if errors.Is(err, fsx.ErrLocked) {
		return nil
	}
	if err == nil {
		release()
	}
	return err
}

// lastScheduled is when this server made its last scheduled snapshot.
func (m *Manager) lastScheduled() time.Time {
	entries, err := List(m.cfg.Dir)
	token, terr := ReadToken(m.cfg.Token)
	if err != nil || terr != nil {
		return time.Time{}
	}
	kept, _ := surplus(entries, token.ID(), m.cfg.Node, m.cfg.Name, 1)
	if len(kept) == 0 {
		return time.Time{}
	}
	return kept[0].Manifest.Time
}

// scheduled makes the snapshot that is due.
func (m *Manager) scheduled(ctx context.Context, table *timetable, start time.Time) {
	s, err := m.save(ctx, m.cfg.Name, m.cfg.Retention)
	if ctx.Err() != nil {
		return
	}
	up := time.Since(start)
	if s.Entry.Good() {
		table.succeeded(s.Entry.Manifest.Time)
	} else {
		table.failed(up)
	}
	table.paid() // an older one is of less use than this one
	if s.RemoteError != "" {
		err = errors.Join(err, errors.New(s.RemoteError))
		table.owe(s.Entry.Location, up)
	}
	m.cfg.Report(err)
}

// again tries to copy away what could not be when it was saved.
func (m *Manager) again(ctx context.Context, table *timetable, up time.Duration) {
	path, ok := table.owed(up)
	if !ok {
		return
	}
	if _, there := look(path); !there {
		table.paid()
		return
	}
	err := m.upload(ctx, path)
	if ctx.Err() != nil {
		return
	}
	m.noteRemote(err)
	if err != nil {
		table.owe(path, up)
	} else {
		table.paid()
		m.cfg.Log.Info("snapshot copied away after earlier trouble", "file", path)
	}
	m.cfg.Report(err)
}
