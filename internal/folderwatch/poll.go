package folderwatch

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/fsnotify/fsnotify"
)

var errEnded = errors.New("it ended")

func (w *Watcher) run() {
	var events chan fsnotify.Event
	var faults chan error
	if w.kernel != nil {
		events, faults = w.kernel.Events, w.kernel.Errors
	}
	for {
		select {
		case <-w.done:
			return
		case _, ok := <-events:
			if ok {
				w.tell()
				continue
			}
			events, faults = nil, nil
			w.fall(errEnded)
		case err, ok := <-faults:
			if !ok {
				faults = nil // events are closed too
				continue
			}
			w.log.Debug("watch of folders", "error", err) // events were lost: whoever listens looks anyway
			w.tell()
		case <-w.tick.C:
			if w.changed() {
				w.tell()
			}
		}
	}
}

// remember notes what is in a folder now, if it is new.
func (w *Watcher) remember(folder string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.folders[folder]; !known {
		w.folders[folder] = look(folder)
	}
}

// changed tells whether a folder has another content than at the last look.
func (w *Watcher) changed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	changed := false
	for folder, before := range w.folders {
		now := look(folder)
		changed = changed || now != before
		w.folders[folder] = now
	}
	return changed
}

// look puts the names, sizes and times of a folder's entries into words. A
// folder that cannot be read looks empty.
func look(folder string) string {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return ""
	}
	var b strings.Builder
	for _, e := range entries {
		if st, err := e.Info(); err == nil {
			fmt.Fprintf(&b, "%q %v %d %d\n", e.Name(), st.Mode(), st.Size(), st.ModTime().UnixNano())
		}
	}
	return b.String()
}
