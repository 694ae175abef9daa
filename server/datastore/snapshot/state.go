package snapshot

import (
	"fmt"
	"time"

	"github.com/kedge-io/kedge/internal/health"
)

// State is how a server's snapshots are. It is kept in memory, so that asking
// reads no disk.
type State struct {
	// Last is the latest whole snapshot of this cluster here, whoever asked for it.
	Last *Entry `json:"last,omitempty"`
	// Took is how long the last one of this process took.
	Took time.Duration `json:"took,omitempty"`
	// Kept counts the whole ones of this cluster in the folder, KeptBytes all in it.
	Kept      int   `json:"kept"`
	KeptBytes int64 `json:"keptBytes"`
	// Failures and RemoteFailures count tries since the start.
	Failures       int `json:"failures"`
	RemoteFailures int `json:"remoteFailures"`
	// LastError and RemoteError are those of the last try, empty for a success.
	LastError   string `json:"lastError,omitempty"`
	RemoteError string `json:"remoteError,omitempty"`
	// RemoteLast is when the last copy elsewhere succeeded since the start.
	RemoteLast time.Time `json:"remoteLast,omitzero"`
}

// State returns the present state.
func (m *Manager) State() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

func (m *Manager) note(change func(*State)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.state)
}

func (m *Manager) noteRemote(err error) {
	m.note(func(s *State) {
		if err != nil {
			s.RemoteFailures++
			s.RemoteError = err.Error()
			return
		}
		s.RemoteError, s.RemoteLast = "", m.cfg.Now()
	})
}

// count looks into the folder. What cannot be read is no news: the next save says
// why.
func (m *Manager) count() {
	entries, err := List(m.cfg.Dir)
	token, terr := ReadToken(m.cfg.Token)
	if err != nil || terr != nil {
		return
	}
	var kept int
	var bytes int64
	for _, e := range entries {
		bytes += e.Bytes
		if e.Good() && e.Manifest.Recovery == token.ID() {
			kept++
		}
	}
	last, ok := LastGood(entries, token.ID())
	m.note(func(s *State) {
		s.Kept, s.KeptBytes, s.Last = kept, bytes, nil
		if ok {
			s.Last = &last
		}
	})
}

// overdue is by how many times the usual distance the last snapshot may be old.
const overdue = 2

// Condition is the state for kedge status.
func (m *Manager) Condition() health.Condition {
	s, now := m.State(), m.cfg.Now()
	c := health.Condition{Name: Name, Status: health.ConditionOK}
	switch {
	case m.cfg.External != "":
		c.Message = "kedge saves no external datastore: use its own backup"
		return c
	case s.Last == nil:
		c.Message = "no snapshot of this cluster is in " + m.cfg.Dir
	default:
		age := max(now.Sub(s.Last.Manifest.Time), 0)
		c.Message = fmt.Sprintf("last good snapshot %s (%s old), %d kept in %s", s.Last.File, health.Age(age), s.Kept, m.cfg.Dir)
		if every := m.cfg.Schedule.distance(now); every > 0 && age > overdue*every {
			c.Status = health.ConditionWarning
		}
	}
	if m.cfg.Schedule.Off() {
		c.Message += "; the schedule is off"
	}
	if s.LastError != "" {
		c.Status, c.Message = health.ConditionWarning, c.Message+"; the last try failed: "+s.LastError
	}
	if s.RemoteError != "" {
		c.Status, c.Message = health.ConditionWarning, c.Message+"; no copy elsewhere: "+s.RemoteError
	}
	return c
}

// distance is the time between two snapshots around now; zero if there are none.
func (s Schedule) distance(now time.Time) time.Duration {
	if s.Off() {
		return 0
	}
	first := s.next(now)
	return s.next(first).Sub(first)
}

// Every is the time between the next two snapshots; zero if none are made.
func (s Schedule) Every() time.Duration { return s.distance(time.Now()) }
