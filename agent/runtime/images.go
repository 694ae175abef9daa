package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kedge-io/kedge/internal/folderwatch"
	"github.com/kedge-io/kedge/internal/lifecycle"
)

// ImagesName is the word for the import of image archives.
const ImagesName = "images"

const (
	quiet       = time.Second // an archive is read when it has not changed for this long
	retryMin    = 5 * time.Second
	retryMax    = 10 * time.Minute
	importLimit = 30 * time.Minute // one archive on slow flash
)

// archiveExts are the endings of files that are imported, longest first.
var archiveExts = []string{".tar.zst", ".tar.gz", ".tgz", ".tar"}

func isArchive(name string) bool {
	return !strings.HasPrefix(name, ".") &&
		slices.ContainsFunc(archiveExts, func(e string) bool { return strings.HasSuffix(name, e) })
}

// Images imports what lies in the images folder. It is made by [NewImages].
type Images struct {
	cfg    Config
	log    *slog.Logger
	report func(error)
	files  map[string]*fileState
	watch  func(*slog.Logger) *folderwatch.Watcher
}

// fileState is what is known of one archive in the folder.
type fileState struct {
	size    int64
	mod     time.Time
	changed time.Time // when size or mod were last seen to differ
	done    bool
	err     error
	retry   time.Time
	delay   time.Duration
}

// NewImages checks cfg. report takes the joined errors of all archives that
// could not be imported, with the fault of the folder's watch if it has one, and
// nil when there are none any more; it may be nil.
func NewImages(cfg Config, log *slog.Logger, report func(error)) (*Images, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if report == nil {
		report = func(error) {}
	}
	return &Images{
		cfg: cfg.WithDefaults(), log: log.With("component", ImagesName),
		report: report, files: map[string]*fileState{}, watch: folderwatch.New,
	}, nil
}

// Component returns the lifecycle component "images". It is ready as soon as
// it watches the folder: imports go on in the background and delay nothing.
func (i *Images) Component() lifecycle.Component {
	return lifecycle.Component{Name: ImagesName, Needs: []string{ComponentName}, Run: i.run}
}

func (i *Images) run(ctx context.Context, ready func()) error {
	dir := i.cfg.Layout.Images()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make images folder: %w", err)
	}
	watch := i.watch(i.log)
	defer watch.Close()
	watch.Add(dir)
	ready()

	// The timer fires when something is due; events only bring it forward.
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-watch.Changes():
			timer.Reset(quiet / 4)
		case <-timer.C:
			if next := i.pass(ctx, time.Now(), watch.Fault()); next > 0 {
				timer.Reset(next)
			}
		}
	}
}

// pass looks at the folder once and imports what is due. It returns when to
// look again at the latest, zero for not before the next event. It reports late,
// the fault of the folder's watch, with those of the archives.
func (i *Images) pass(ctx context.Context, now time.Time, late error) time.Duration {
	due, next := i.scan(now)
	if len(due) > 0 {
		if err := i.importAll(ctx, due); err != nil {
			i.report(errors.Join(late, err))
			return retryMin
		}
	}
	if ctx.Err() != nil {
		return 0
	}
	errs := []error{late}
	for _, path := range sortedKeys(i.files) {
		f := i.files[path]
		if f.err != nil {
			errs = append(errs, f.err)
		}
		if !f.done {
			next = sooner(next, max(time.Until(f.retry), quiet))
		}
	}
	i.report(errors.Join(errs...))
	return next
}

// scan brings the table up to date with the folder and returns the archives
// that are due, and when the next unfinished one may be.
func (i *Images) scan(now time.Time) (due []string, next time.Duration) {
	dir := i.cfg.Layout.Images()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		i.log.Warn("images folder not readable", "error", err)
		return nil, retryMin
	}
	seen := map[string]bool{}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		st, err := os.Stat(path)
		if !isArchive(e.Name()) || err != nil || !st.Mode().IsRegular() {
			continue
		}
		seen[path] = true
		f := i.observe(path, st, now)
		switch wait := max(f.changed.Add(quiet).Sub(now), f.retry.Sub(now)); {
		case f.done:
		case wait <= 0:
			due = append(due, path)
		default:
			next = sooner(next, wait)
		}
	}
	for path := range i.files {
		if !seen[path] {
			delete(i.files, path)
		}
	}
	return due, next
}

// observe returns the state of an archive, begun anew when the file differs
// from what was seen before. A file last written long before it was first seen
// is not waited for.
func (i *Images) observe(path string, st fs.FileInfo, now time.Time) *fileState {
	f, ok := i.files[path]
	if ok && f.size == st.Size() && f.mod.Equal(st.ModTime()) {
		return f
	}
	changed := now
	if !ok && now.Sub(st.ModTime()) > quiet {
		changed = now.Add(-quiet)
	}
	var last error
	if ok {
		last = f.err
	}
	f = &fileState{size: st.Size(), mod: st.ModTime(), changed: changed, err: last}
	i.files[path] = f
	return f
}

// importAll imports the given archives one after the other, which bounds the
// memory and the load on the disk.
func (i *Images) importAll(ctx context.Context, paths []string) error {
	client, err := i.cfg.dial()
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	im := importer{client: client, snapshotter: i.cfg.Snapshotter, memory: i.cfg.importedFile()}
	for _, path := range paths {
		limited, cancel := context.WithTimeout(ctx, importLimit)
		began := time.Now()
		names, wrote, err := im.ensure(limited, path)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		i.settle(path, err)
		if err == nil && wrote {
			i.log.Info("images imported", "file", path, "images", names, "took", time.Since(began).Round(time.Millisecond))
		}
	}
	return nil
}

// settle notes the outcome of one import; the same error is logged once.
func (i *Images) settle(path string, err error) {
	f := i.files[path]
	if err == nil {
		f.done, f.err = true, nil
		return
	}
	if errors.Is(err, errChanged) {
		f.retry = time.Now().Add(quiet)
		return
	}
	if f.err == nil || f.err.Error() != err.Error() {
		i.log.Warn("image archive not imported, will be tried again", "file", path, "error", err)
	}
	f.err = err
	f.delay = min(max(2*f.delay, retryMin), retryMax)
	f.retry = time.Now().Add(f.delay)
}

func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b < a {
		return b
	}
	return a
}

func sortedKeys(m map[string]*fileState) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
