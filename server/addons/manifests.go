package addons

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"

	"github.com/kedge-io/kedge/internal/folderwatch"
	"github.com/kedge-io/kedge/internal/lifecycle"
)

// Name of the component.
const Name = "manifests"

const (
	// settleTime must pass since the last change of a file: a copy that is
	// still running must not look like objects that were removed.
	settleTime = time.Second
	// resyncEvery mends what was changed by hand in the cluster.
	resyncEvery = 10 * time.Minute
	retryFirst  = time.Second
	retryLast   = time.Minute
)

// Manifests applies the manifests of one server.
type Manifests struct {
	cfg    Config
	settle time.Duration
	faults map[string]string // file -> what was last said about it
	watch  func(*slog.Logger) *folderwatch.Watcher
	late   error // the fault of the folder's watch
}

// New checks cfg.
func New(cfg Config) (*Manifests, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Report == nil {
		cfg.Report = func(error) {}
	}
	return &Manifests{cfg: cfg, settle: settleTime, faults: map[string]string{}, watch: folderwatch.New}, nil
}

// Component applies manifests once needs are ready. It is ready after the
// first pass, whether or not every manifest could be applied.
func (m *Manifests) Component(needs ...string) lifecycle.Component {
	return lifecycle.Component{Name: Name, Needs: needs, Prepare: m.prepare, Run: m.run}
}

func (m *Manifests) prepare(context.Context) error {
	if err := os.MkdirAll(m.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("make manifests folder: %w", err)
	}
	return writePackaged(m.cfg.Dir, m.cfg.Disable, defaultValues(m.cfg.ClusterDNS))
}

func (m *Manifests) run(ctx context.Context, ready func()) error {
	conf, err := m.cfg.Client()
	if err != nil {
		return fmt.Errorf("client for manifests: %w", err)
	}
	client, err := dynamic.NewForConfig(conf)
	if err != nil {
		return fmt.Errorf("client for manifests: %w", err)
	}
	disco, err := discovery.NewDiscoveryClientForConfig(conf)
	if err != nil {
		return fmt.Errorf("client for manifests: %w", err)
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))
	return m.loop(ctx, cluster{client: client, mapper: mapper}, ready)
}

// loop makes a pass at start, after changes, after faults with back-off, and
// slowly for ever.
func (m *Manifests) loop(ctx context.Context, c cluster, ready func()) error {
	watcher := m.watch(m.cfg.Log)
	defer watcher.Close()
	var (
		seen     = done{}
		retry    = retryFirst
		lastFull time.Time
		isReady  bool
		next     = time.NewTimer(0)
	)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-watcher.Changes():
			next.Reset(m.settle)
			continue
		case <-next.C:
		}
		watchFolders(watcher, m.cfg.Dir)
		m.late = watcher.Fault()
		if wait := m.unsettled(time.Now()); wait > 0 && isReady {
			next.Reset(wait)
			continue
		}
		full := time.Since(lastFull) >= resyncEvery
		if full {
			lastFull = time.Now()
		}
		ok := m.pass(ctx, c, seen, full)
		if ctx.Err() != nil {
			return nil
		}
		if !isReady {
			isReady = true
			ready()
		}
		if ok {
			retry = retryFirst
			next.Reset(resyncEvery)
		} else {
			next.Reset(retry)
			retry = min(2*retry, retryLast)
		}
	}
}

// pass tells whether nothing is left to be tried again.
func (m *Manifests) pass(ctx context.Context, c cluster, seen done, full bool) bool {
	out, err := c.sync(ctx, m.cfg.Dir, seen, full)
	if ctx.Err() != nil {
		return false
	}
	if err != nil {
		m.say(ctx, c, outcome{err: err})
		return false
	}
	m.say(ctx, c, outcome{})
	ok := true
	for _, o := range out {
		m.say(ctx, c, o)
		ok = ok && o.err == nil
	}
	m.report()
	return ok
}

// say tells of a file's outcome in log and events, once per change. The empty
// name stands for the folder.
func (m *Manifests) say(ctx context.Context, c cluster, o outcome) {
	old, known := m.faults[o.file]
	if o.err != nil {
		if text := oneLine(o.err); text != old {
			m.faults[o.file] = text
			m.cfg.Log.Error("manifest not applied", "file", o.file, "err", text)
			m.event(ctx, c, o.file, "Warning", "ApplyFailed", text)
			m.report()
		}
		return
	}
	delete(m.faults, o.file)
	if o.changed || len(o.pruned) > 0 || (known && o.file != "") {
		m.cfg.Log.Info("manifest applied", "file", o.file, "objects", o.objects, "pruned", len(o.pruned))
	}
	if known {
		m.event(ctx, c, o.file, "Normal", "Applied", "applied after an earlier fault")
	}
}

func (m *Manifests) report() {
	var errs []error
	for file, text := range m.faults {
		errs = append(errs, fmt.Errorf("%s: %s", filepath.Join(m.cfg.Dir, file), text))
	}
	m.cfg.Report(errors.Join(m.late, sorted(errs)))
}

// unsettled is how long to wait because a file changed just now. Times in the
// future are a clock's fault and are not waited for.
func (m *Manifests) unsettled(now time.Time) (wait time.Duration) {
	_ = filepath.WalkDir(m.cfg.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !isManifest(path) {
			return nil
		}
		if st, err := d.Info(); err == nil {
			if age := now.Sub(st.ModTime()); age >= 0 && age < m.settle {
				wait = max(wait, m.settle-age)
			}
		}
		return nil
	})
	return wait
}

// watchFolders adds dir and what is below it; folders already watched are
// added again without effect.
func watchFolders(w *folderwatch.Watcher, dir string) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			w.Add(path)
		}
		return nil
	})
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

func sorted(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	sortErrors(errs)
	return errors.Join(errs...)
}
