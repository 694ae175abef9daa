package bandwidth

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/kedge-io/kedge/agent/bandwidth/plan"
	"github.com/kedge-io/kedge/internal/fsx"
)

// saveAfter is the shortest time between two writes of wishes: flash wears, and
// a server tells again what is lost in between.
const saveAfter = 5 * time.Second

// saving keeps the last known wishes on disk, not more often than needed.
type saving struct {
	file string
	log  *slog.Logger
	wake chan<- struct{}

	wanted *wishes
	last   time.Time
	due    *time.Timer
	failed bool
}

// keep writes w now, or soon if something was written just before.
func (s *saving) keep(w wishes) {
	s.wanted = &w
	if wait := saveAfter - time.Since(s.last); wait <= 0 {
		s.flush()
	} else if s.due == nil {
		s.due = time.AfterFunc(wait, func() { notify(s.wake) })
	}
}

// flush writes what is not written yet.
func (s *saving) flush() {
	if s.due != nil {
		s.due.Stop()
		s.due = nil
	}
	if s.wanted == nil {
		return
	}
	wrote, err := s.wanted.keep(s.file)
	if err != nil && !s.failed {
		s.log.Warn("wishes about bandwidth are not kept: a start without a server has older ones", "error", err)
	}
	if s.failed = err != nil; wrote || err != nil {
		s.last = time.Now()
	}
	s.wanted = nil
}

// loadAssignment reads the numbers of classes; none where there is no file.
func loadAssignment(file string) (plan.Assignment, error) {
	var a plan.Assignment
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return a, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &a)
	}
	if err != nil {
		return plan.Assignment{}, fmt.Errorf("read the numbers of classes from %s: %w", file, err)
	}
	return a, nil
}

func saveAssignment(file string, a plan.Assignment) error {
	text, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encode the numbers of classes: %w", err)
	}
	return fsx.WriteFile(file, text, 0o600)
}
