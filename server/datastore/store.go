package datastore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kedge-io/kedge/internal/fsx"
	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/internal/wire"
)

// Name of the component.
const Name = "datastore"

// fullCheckBelow is the size up to which every start pays for a full check.
const fullCheckBelow = 32 << 20

// Store is the datastore of one server. Its endpoints are known from the
// beginning and answer once the component is ready.
type Store struct {
	cfg      Config
	mu       sync.Mutex
	running  []*instance
	troubles map[string]error
	reported string
	undone   []wire.Stretch
	every    time.Duration // between two looks; shortened by tests
}

// New checks cfg and makes a Store that does nothing yet.
func New(cfg Config) (*Store, error) {
	if cfg.Durability == "" {
		cfg.Durability = DurabilityFull
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Report == nil {
		cfg.Report = func(error) {}
	}
	return &Store{cfg: cfg, troubles: map[string]error{}, every: tick}, nil
}

// Component is the datastore's part of a server.
func (s *Store) Component() lifecycle.Component {
	return lifecycle.Component{Name: Name, Prepare: s.prepare, Run: s.run}
}

// Endpoints are the etcd URLs for the apiserver's --etcd-servers.
func (s *Store) Endpoints() []string {
	if slices.Contains(etcdSchemes, scheme(s.cfg.Endpoint)) {
		return strings.Split(s.cfg.Endpoint, ",")
	}
	return []string{"unix://" + filepath.Join(s.cfg.SocketDir, "kine.sock")}
}

// TLS names the files an etcd client needs for Endpoints; all empty when none
// are needed.
func (s *Store) TLS() (ca, cert, key string) {
	if slices.Contains(etcdSchemes, scheme(s.cfg.Endpoint)) {
		return s.cfg.CAFile, s.cfg.CertFile, s.cfg.KeyFile
	}
	return "", "", ""
}

// volatileResources change all the time on an idle cluster and are made again
// by their owners: group/resource in the words of --etcd-servers-overrides.
// apiServerIPInfo is the apiserver's own heartbeat, every ten seconds.
var volatileResources = []string{"/events", "coordination.k8s.io/leases", "/apiServerIPInfo"}

// Overrides are the values for the apiserver's --etcd-servers-overrides; empty
// when there is no volatile database.
func (s *Store) Overrides() []string {
	if !s.volatile() {
		return nil
	}
	var out []string
	for _, r := range volatileResources {
		out = append(out, r+"#unix://"+s.volatileSocket())
	}
	return out
}

func (s *Store) volatile() bool         { return s.cfg.VolatileDir != "" && s.cfg.Endpoint == "" }
func (s *Store) volatileSocket() string { return filepath.Join(s.cfg.SocketDir, "kine-volatile.sock") }

// prepare proves that a start can succeed. It leaves nothing running and a
// damaged database as it was found.
func (s *Store) prepare(ctx context.Context) error {
	if s.cfg.Endpoint != "" {
		return nil
	}
	if s.cfg.LockPath != "" {
		lock, err := fsx.Lock(s.cfg.LockPath)
		if err != nil {
			return secondServer(s.cfg.LockPath, err)
		}
		defer func() { _ = lock.Close() }()
	}
	if err := prepareDir(filepath.Dir(s.cfg.Path)); err != nil {
		return err
	}
	return s.examine(ctx)
}

// examine checks what is on the disk before anything opens it for writing.
func (s *Store) examine(ctx context.Context) error {
	found, err := Examine(ctx, s.cfg, false)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, note := range found.Notes {
		s.cfg.Log.Info("about the database", "path", s.cfg.Path, "note", note)
	}
	s.cfg.Log.Debug("database checked", "path", s.cfg.Path, "bytes", found.Bytes, "revision", found.Revision, "took", found.Took)
	return nil
}

// Examine is [Check] with what helps in its errors. The error is
// [os.ErrNotExist] if there has never been a database.
func Examine(ctx context.Context, cfg Config, full bool) (Finding, error) {
	offer := func() string {
		if cfg.Offer == nil {
			return ""
		}
		return cfg.Offer(ctx)
	}
	if fresh(cfg.Path) {
		if offer := offer(); offer != "" || cfg.begun() {
			return Finding{}, cfg.vanished(offer)
		}
		return Finding{}, fmt.Errorf("database %s: %w", cfg.Path, os.ErrNotExist)
	}
	found, err := Check(ctx, cfg.Path, cfg.VolatileDir, full)
	if errors.Is(err, ErrDamaged) {
		err = advise(cfg.Path, offer(), err)
	}
	return found, err
}

// fresh tells that nothing of a database is there.
func fresh(path string) bool {
	return !exists(path) && !exists(path+"-wal") && !exists(witnessPath(path))
}

func secondServer(path string, err error) error {
	if errors.Is(err, fsx.ErrLocked) {
		return fmt.Errorf("data directory %s is in use by another kedge server: %w; stop that one or choose another --data-dir", filepath.Dir(path), err)
	}
	return err
}

func (s *Store) run(ctx context.Context, ready func()) (err error) {
	if s.cfg.LockPath != "" {
		lock, err := fsx.Lock(s.cfg.LockPath)
		if err != nil {
			return secondServer(s.cfg.LockPath, err)
		}
		defer func() { _ = lock.Close() }()
	}
	fatal, restore := trapFatal()
	defer restore()
	if s.cfg.Endpoint != "" {
		return s.runExternal(ctx, fatal, ready)
	}
	return s.runSQLite(ctx, fatal, ready)
}

func (s *Store) runSQLite(ctx context.Context, fatal <-chan error, ready func()) (err error) {
	durable, vol := s.instances()
	defer func() {
		s.setRunning(nil)
		err = errors.Join(err, vol.closeIfOpen(), durable.closeIfOpen())
	}()
	if err := s.openAll(ctx, durable, vol); err != nil {
		return err
	}
	all := []*instance{durable}
	if s.volatile() {
		all = append(all, vol)
	}
	for _, i := range all {
		if err := proveUse(ctx, i.url(), nil); err != nil {
			return fmt.Errorf("%s database: %w", i.name, err)
		}
	}
	// The proof was a write, so the log has its header.
	if err := errors.Join(durable.noteOpened(ctx, false), noteLast(durable.path, durable.witness)); err != nil {
		return err
	}
	s.noteBegun()
	s.setRunning(all)
	ready()
	return s.watch(ctx, fatal, all)
}

func (s *Store) openAll(ctx context.Context, durable, vol *instance) error {
	if err := prepareDir(s.cfg.SocketDir); err != nil {
		return err
	}
	if !exists(durable.path) {
		if err := createSQLite(ctx, durable.path, durable.tune.pageSize); err != nil {
			return err
		}
	}
	if err := durable.openWitnessed(ctx, ackedFile(s.cfg.VolatileDir)); err != nil {
		return err
	}
	if err := s.learnUndone(ctx, durable); err != nil {
		return err
	}
	if !s.volatile() {
		return nil
	}
	if err := prepareDir(filepath.Dir(vol.path)); err != nil {
		return err
	}
	return openVolatile(ctx, vol, durable, s.floor())
}

func (s *Store) floor() floor {
	return floor{path: filepath.Join(filepath.Dir(s.cfg.Path), "volatile.rev")}
}

// watch looks after the databases until ctx ends or one of them cannot go on.
func (s *Store) watch(ctx context.Context, fatal <-chan error, all []*instance) error {
	mctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	broken := make(chan error, len(all))
	for _, i := range all {
		wg.Go(func() { i.maintain(mctx, s.every, func(err error) { s.note(i, err) }) })
		go func() {
			if err := <-i.served; err != nil && mctx.Err() == nil {
				broken <- fmt.Errorf("serve %s database at %s: %w", i.name, i.socket, err)
			}
		}()
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-fatal:
		return err
	case err := <-broken:
		return err
	}
}

// note reports the joined troubles of all databases, once per change.
func (s *Store) note(i *instance, err error) {
	if i.name == volatileName { // also while something else is wrong with it
		if rev, rerr := i.kine.CurrentRevision(context.Background()); rerr == nil {
			err = errors.Join(err, s.floor().reserve(rev))
		}
	}
	s.mu.Lock()
	s.troubles[i.name] = err
	joined := errors.Join(s.troubles[durableName], s.troubles[volatileName])
	text := ""
	if joined != nil {
		text = joined.Error()
	}
	changed := text != s.reported
	s.reported = text
	s.mu.Unlock()
	if changed {
		s.cfg.Report(joined)
	}
}

func (s *Store) setRunning(all []*instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = all
}
