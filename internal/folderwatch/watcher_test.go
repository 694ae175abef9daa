package folderwatch

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is far more than any change takes to be told.
const patience = 20 * time.Second

func write(t *testing.T, file string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
}

// told waits for one change.
func told(t *testing.T, w *Watcher) {
	t.Helper()
	select {
	case <-w.Changes():
	case <-time.After(patience):
		t.Fatal("no change was told")
	}
}

// none opens no watcher, as a host without a free instance does.
func none() (*fsnotify.Watcher, error) { return nil, syscall.EMFILE }

func TestKernelTellsOfChanges(t *testing.T) {
	w, dir := New(slog.New(slog.DiscardHandler)), t.TempDir()
	defer w.Close()
	w.Add(dir)
	w.Add(filepath.Join(dir, "missing"))
	write(t, filepath.Join(dir, "a"))
	told(t, w)
	if err := w.Fault(); err != nil {
		t.Skip("missing: a free inotify instance: ", err)
	}
}

func TestWithoutAnInstanceFoldersAreRead(t *testing.T) {
	var log bytes.Buffer
	w, dir := open(slog.New(slog.NewTextHandler(&log, nil)), time.Millisecond, none), t.TempDir()
	w.Add(dir)
	w.Add(filepath.Join(dir, "later"))
	told(t, w) // at once: there is no telling what was before
	write(t, filepath.Join(dir, "a"))
	told(t, w)
	if err := os.Remove(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	told(t, w)
	if err := os.Mkdir(filepath.Join(dir, "later"), 0o700); err != nil {
		t.Fatal(err)
	}
	told(t, w)
	write(t, filepath.Join(dir, "later", "b"))
	told(t, w)
	fault := w.Fault()
	w.Close()
	if !errors.Is(fault, syscall.EMFILE) || !strings.Contains(fault.Error(), "sysctl -w fs.inotify.max_user_instances=") {
		t.Errorf("the fault is %v", fault)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("it was said %d times:\n%s", n, &log)
	}
}

func TestNothingIsToldOfWhatStaysAsItIs(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"))
	w := Poll(slog.New(slog.DiscardHandler), time.Hour, fs.ErrInvalid)
	defer w.Close()
	w.Add(dir)
	if w.changed() {
		t.Error("a folder differs from itself")
	}
	write(t, filepath.Join(dir, "b"))
	if !w.changed() || w.changed() {
		t.Error("a new file is one change")
	}
}

func TestWatchThatEndsIsFollowedByReading(t *testing.T) {
	kernel, err := fsnotify.NewWatcher()
	if err != nil {
		t.Skip("missing: a free inotify instance: ", err)
	}
	w := open(slog.New(slog.DiscardHandler), time.Millisecond, func() (*fsnotify.Watcher, error) { return kernel, nil })
	defer w.Close()
	dir := t.TempDir()
	w.Add(dir)
	if err := kernel.Close(); err != nil {
		t.Fatal(err)
	}
	told(t, w)
	if w.Fault() == nil {
		t.Error("no fault")
	}
	write(t, filepath.Join(dir, "a"))
	told(t, w)
}
