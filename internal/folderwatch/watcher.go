package folderwatch

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/kedge-io/kedge/internal/finding"
)

// Every is how often folders are read that the kernel does not watch: soon
// enough for a person who waits, and a few system calls.
const Every = 5 * time.Second

// Watcher watches folders. It is made by [New] or [Poll] and has to be closed.
type Watcher struct {
	log     *slog.Logger
	changes chan struct{}
	done    chan struct{}
	ended   sync.WaitGroup
	kernel  *fsnotify.Watcher // nil where none could be made
	every   time.Duration
	tick    *time.Ticker // stopped while the kernel watches

	mu      sync.Mutex
	fault   error             // why the kernel does not watch, nil while it does
	folders map[string]string // folder -> what was last seen in it, while there is a fault
}

// New watches by the kernel if it can, else as [Poll] does with [Every].
func New(log *slog.Logger) *Watcher { return open(log, Every, fsnotify.NewWatcher) }

// Poll reads the folders at this interval, because of this fault of the kernel's
// watch.
func Poll(log *slog.Logger, every time.Duration, fault error) *Watcher {
	return open(log, every, func() (*fsnotify.Watcher, error) { return nil, fault })
}

func open(log *slog.Logger, every time.Duration, newWatcher func() (*fsnotify.Watcher, error)) *Watcher {
	w := &Watcher{
		log: log, every: every, tick: time.NewTicker(every),
		changes: make(chan struct{}, 1), done: make(chan struct{}), folders: map[string]string{},
	}
	w.tick.Stop()
	kernel, err := newWatcher()
	if err == nil {
		w.kernel = kernel
	} else {
		w.fall(err)
	}
	w.ended.Go(w.run)
	return w
}

// Changes has a value when something may have changed since the last one.
func (w *Watcher) Changes() <-chan struct{} { return w.changes }

// Fault is nil while the kernel watches, and else says why it does not, what is
// done instead and what helps.
func (w *Watcher) Fault() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fault
}

// Add watches one more folder; again has no effect. A folder that is not there is left out.
func (w *Watcher) Add(folder string) {
	if w.Fault() == nil {
		err := w.kernel.Add(folder)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			w.remember(folder)
			return
		}
		w.fall(err)
	}
	w.remember(folder)
}

// Close ends the watch; nothing is told any more.
func (w *Watcher) Close() {
	close(w.done)
	w.ended.Wait()
	w.tick.Stop()
	if w.kernel != nil {
		_ = w.kernel.Close() // of no consequence: nothing is read from it any more
	}
}

// fall goes over to reading the folders. It tells of a change, as there may
// have been one between the two.
func (w *Watcher) fall(cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fault != nil {
		return
	}
	limits, _ := finding.Lookup(finding.Inotify)
	w.fault = fmt.Errorf("changes of files are seen up to %s late, as the kernel's watch failed (%w): %s; then restart kedge",
		w.every, cause, limits.Remedy)
	w.log.Warn("folder is read again and again instead of watched", "every", w.every, "error", w.fault)
	for folder := range w.folders {
		w.folders[folder] = look(folder)
	}
	w.tick.Reset(w.every)
	w.tell()
}

func (w *Watcher) tell() {
	select {
	case w.changes <- struct{}{}:
	default: // the former one was not taken yet
	}
}
