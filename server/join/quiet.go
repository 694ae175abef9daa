package join

import (
	"sync"
	"time"
)

const (
	quietFor  = time.Minute
	quietSize = 1024
)

// quiet lets each address through once a minute, so that a machine with a
// wrong token does not fill the log.
type quiet struct {
	now  func() time.Time
	mu   sync.Mutex
	seen map[string]time.Time
}

func newQuiet(now func() time.Time) *quiet {
	return &quiet{now: now, seen: map[string]time.Time{}}
}

// first says whether key has not been let through within the last minute.
func (q *quiet) first(key string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	if last, ok := q.seen[key]; ok && now.Sub(last) < quietFor {
		return false
	}
	if len(q.seen) >= quietSize {
		for key, last := range q.seen {
			if now.Sub(last) >= quietFor {
				delete(q.seen, key)
			}
		}
	}
	// A flood from more addresses than we remember is not logged line by line.
	if len(q.seen) >= quietSize {
		return false
	}
	q.seen[key] = now
	return true
}
