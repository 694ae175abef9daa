package quiet

import (
	"sync"
	"time"
)

const (
	// For is how long a key stays quiet after it was let through.
	For = time.Minute
	// Size is how many keys are remembered at a time.
	Size = 1024
)

// Log lets each key through once a minute. It is safe for concurrent use.
type Log struct {
	now  func() time.Time
	mu   sync.Mutex
	seen map[string]time.Time
}

// New returns a Log that remembers nothing yet. now is the clock.
func New(now func() time.Time) *Log {
	return &Log{now: now, seen: map[string]time.Time{}}
}

// First says whether key has not been let through within the last minute.
func (q *Log) First(key string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	if last, ok := q.seen[key]; ok && now.Sub(last) < For {
		return false
	}
	if len(q.seen) >= Size {
		for key, last := range q.seen {
			if now.Sub(last) >= For {
				delete(q.seen, key)
			}
		}
	}
	// A flood from more addresses than we remember is not logged line by line.
	if len(q.seen) >= Size {
		return false
	}
	q.seen[key] = now
	return true
}
