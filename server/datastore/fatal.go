package datastore

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/sirupsen/logrus"
)

// errKine marks a condition in which kine would have ended the process.
var errKine = errors.New("kine gave up")

// kine calls logrus.Fatalf where it cannot go on, for example when a commit
// fails on a full disk. A daemon ends in order instead: the calling goroutine
// is ended and the component returns an error.
type fatalTrap struct {
	mu   sync.Mutex
	last string
	c    chan error
}

// trapFatal redirects the standard logrus logger's exit to the returned
// channel until restore is called.
func trapFatal() (c <-chan error, restore func()) {
	t := &fatalTrap{c: make(chan error, 1)}
	logger := logrus.StandardLogger()
	oldExit := logger.ExitFunc
	logger.ExitFunc = t.exit
	hooks := make(logrus.LevelHooks, len(logger.Hooks)+1)
	for level, h := range logger.Hooks {
		hooks[level] = slices.Clone(h)
	}
	hooks.Add(t)
	oldHooks := logger.ReplaceHooks(hooks)
	return t.c, func() {
		logger.ExitFunc = oldExit
		logger.ReplaceHooks(oldHooks)
	}
}

// Levels is part of logrus.Hook.
func (t *fatalTrap) Levels() []logrus.Level { return []logrus.Level{logrus.FatalLevel} }

// Fire is part of logrus.Hook: it keeps the message for the error.
func (t *fatalTrap) Fire(e *logrus.Entry) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = e.Message
	return nil
}

func (t *fatalTrap) exit(int) {
	t.mu.Lock()
	err := fmt.Errorf("%w: %s", errKine, t.last)
	t.mu.Unlock()
	select {
	case t.c <- err:
	default:
	}
	runtime.Goexit()
}
