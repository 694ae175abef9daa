package snapshot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/kedge-io/kedge/internal/fsx"
	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/internal/wire"
)

// Manager saves, lists and deletes the snapshots of one server. Its methods may
// be called from several goroutines; saves and deletions wait for each other.
type Manager struct {
	cfg  Config
	gate chan struct{} // held by who changes the folder
	away chan struct{} // held by who changes what is elsewhere, never with gate

	mu    sync.Mutex
	state State
	life  context.Context // of the component; nil if it does not run
}

// New returns a manager. It touches nothing.
func New(cfg Config) *Manager {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Report == nil {
		cfg.Report = func(error) {}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Manager{cfg: cfg, gate: make(chan struct{}, 1), away: make(chan struct{}, 1)}
}

// Saved is what a save has brought about.
type Saved struct {
	Entry Entry `json:"entry"`
	// Took is how long the local snapshot took.
	Took time.Duration `json:"took"`
	// RemoteError says why there is no copy elsewhere; the local one is whole.
	RemoteError string `json:"remoteError,omitempty"`
	// Deleted are the locations of those that retention deleted.
	Deleted []string `json:"deleted,omitempty"`
}

// Save makes a snapshot whose file name begins with name, [OnDemand] if it is
// empty. Retention has nothing to do with it. Trouble with the copy elsewhere is
// in the result and is no error.
func (m *Manager) Save(ctx context.Context, name string) (Saved, error) {
	if name == "" {
		name = OnDemand
	}
	if name == m.cfg.Name {
		return Saved{}, fmt.Errorf("snapshot name %q is that of scheduled snapshots, which are deleted when there are more than %d: choose another", name, m.cfg.Retention)
	}
	return m.save(ctx, name, 0)
}

// save makes a snapshot and, with keep above zero, deletes those of its name
// beyond keep.
func (m *Manager) save(ctx context.Context, name string, keep int) (Saved, error) {
	if err := errors.Join(m.notExternal(), CheckName(name)); err != nil {
		return Saved{}, err
	}
	ctx, cancel := m.within(ctx)
	defer cancel()
	s, err := m.saveAndPrune(ctx, name, keep)
	if !s.Entry.Good() || m.cfg.Remote == nil {
		return s, err
	}
	// Without the folder: a bucket out of reach keeps nobody from saving.
	if rerr := m.copyAway(ctx, &s, name, keep); rerr != nil {
		s.RemoteError = rerr.Error()
	}
	return s, err
}

// saveAndPrune is the part of a save that concerns the folder.
func (m *Manager) saveAndPrune(ctx context.Context, name string, keep int) (s Saved, err error) {
	release, err := m.lock(ctx)
	if err != nil {
		return s, m.failed(err)
	}
	defer release()
	begin := time.Now()
	if err = m.makeSpace(ctx, name, keep); err == nil {
		s.Entry, err = m.saveLocal(ctx, name)
	}
	if err != nil {
		return Saved{}, m.failed(err)
	}
	s.Took = time.Since(begin)
	m.cfg.Log.Info("snapshot saved", "file", s.Entry.Location, "bytes", s.Entry.Bytes,
		"revision", s.Entry.Manifest.Revision, "objects", s.Entry.Manifest.ObjectCount(), "took", s.Took.Round(time.Millisecond))
	m.note(func(st *State) { st.Last, st.Took, st.LastError = &s.Entry, s.Took, "" })
	defer m.count()
	if keep > 0 {
		s.Deleted, err = m.pruneLocal(ctx, s.Entry.Manifest.Recovery, name, keep, s.Entry.File)
		if err != nil {
			err = fmt.Errorf("delete old snapshots: %w", err)
		}
	}
	return s, err
}

// failed notes that nothing could be saved, unless nobody wants it any more.
func (m *Manager) failed(err error) error {
	if !errors.Is(err, context.Canceled) {
		m.note(func(st *State) { st.Failures++; st.LastError = err.Error() })
	}
	return err
}

// within ends what somebody asked for together with the component.
func (m *Manager) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	m.mu.Lock()
	life := m.life
	m.mu.Unlock()
	if life == nil {
		return ctx, cancel
	}
	stop := context.AfterFunc(life, cancel)
	return ctx, func() { stop(); cancel() }
}

// copyAway keeps a copy of what was saved elsewhere.
func (m *Manager) copyAway(ctx context.Context, s *Saved, name string, keep int) error {
	err := m.upload(ctx, s.Entry.Location)
	if err == nil && keep > 0 {
		var deleted []string
		deleted, err = m.pruneRemote(ctx, s.Entry.Manifest.Recovery, name, keep)
		s.Deleted = append(s.Deleted, deleted...)
	}
	m.noteRemote(err)
	return err
}

// upload copies the file at path away; one upload is under way at a time.
func (m *Manager) upload(ctx context.Context, path string) error {
	select {
	case m.away <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-m.away }()
	return m.cfg.Remote.Upload(ctx, path)
}

// Listing is what is kept.
type Listing struct {
	Entries []Entry `json:"entries"`
	// RemoteError says why entries of elsewhere are missing.
	RemoteError string `json:"remoteError,omitempty"`
}

// List returns the local snapshots and then those elsewhere, each as [List] does.
func (m *Manager) List(ctx context.Context) (Listing, error) {
	local, err := List(m.cfg.Dir)
	if err != nil || m.cfg.Remote == nil {
		return Listing{Entries: local}, err
	}
	remote, err := m.cfg.Remote.List(ctx, "")
	l := Listing{Entries: append(local, remote...)}
	if err != nil {
		l.RemoteError = err.Error()
	}
	return l, nil
}

// Delete removes the snapshot with this file name, here and elsewhere, and returns
// the locations. A name that is nowhere is an error that wraps [os.ErrNotExist].
func (m *Manager) Delete(ctx context.Context, file string) ([]string, error) {
	if err := CheckFile(file); err != nil {
		return nil, err
	}
	var deleted []string
	err := m.locked(ctx, func() error { return removeLocal(m.cfg.Dir, file) })
	if err == nil {
		deleted = append(deleted, filepath.Join(m.cfg.Dir, file))
	}
	if m.cfg.Remote != nil && (err == nil || errors.Is(err, os.ErrNotExist)) {
		away, rerr := m.deleteAway(ctx, file)
		if deleted = append(deleted, away...); rerr != nil || len(away) > 0 {
			err = rerr
		}
	}
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("no snapshot has the name %s (kedge snapshot list shows all): %w", file, os.ErrNotExist)
	}
	return deleted, err
}

// deleteAway removes file elsewhere if it is there.
func (m *Manager) deleteAway(ctx context.Context, file string) ([]string, error) {
	entries, err := m.cfg.Remote.List(ctx, file)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.File == file {
			return []string{e.Location}, m.cfg.Remote.Delete(ctx, file)
		}
	}
	return nil, nil
}

// Prune deletes the snapshots of this cluster and server whose names begin with
// name, the scheduled ones if it is empty, beyond the keep latest, as many as the
// settings say if keep is zero; here and elsewhere.
func (m *Manager) Prune(ctx context.Context, name string, keep int) ([]string, error) {
	if name == "" {
		name = m.cfg.Name
	}
	if keep == 0 {
		keep = m.cfg.Retention
	}
	if keep < 1 || keep > maxRetention {
		return nil, fmt.Errorf("retention %d is not between 1 and %d: kedge snapshot delete deletes single ones", keep, maxRetention)
	}
	token, err := ReadToken(m.cfg.Token)
	if err != nil {
		return nil, err
	}
	var deleted []string
	err = m.locked(ctx, func() error {
		deleted, err = m.pruneLocal(ctx, token.ID(), name, keep, "")
		return err
	})
	if err == nil && m.cfg.Remote != nil {
		var away []string
		away, err = m.pruneRemote(ctx, token.ID(), name, keep)
		deleted = append(deleted, away...)
	}
	return deleted, err
}

// locked changes the folder by f.
func (m *Manager) locked(ctx context.Context, f func() error) error {
	release, err := m.lock(ctx)
	if err != nil {
		return err
	}
	defer release()
	defer m.count()
	return f()
}

func (m *Manager) notExternal() error {
	if m.cfg.External != "" {
		return fmt.Errorf("--datastore-endpoint is %s: %w", m.cfg.External, ErrExternal)
	}
	return nil
}

// token is that of this cluster, made if there is none.
func (m *Manager) token(pin wire.Pin) (Token, error) {
	t, made, err := EnsureToken(m.cfg.Token, pin)
	if made {
		m.cfg.Log.Info("made the recovery token, which restoring a snapshot elsewhere needs: keep a copy of it away from this host (kedge snapshot token)", "path", m.cfg.Token)
		if n := m.unopened(pin, t); n > 0 {
			m.cfg.Log.Warn("the former recovery token is lost, and the new one does not open the snapshots made before: put the former one back if you have noted it down, else note down the new one", "path", m.cfg.Token, "snapshots", n)
		}
	}
	return t, err
}

// unopened counts the snapshots of this cluster here that t does not open.
func (m *Manager) unopened(pin wire.Pin, t Token) (n int) {
	entries, _ := List(m.cfg.Dir) // the next save says why
	for _, e := range entries {
		if e.Good() && e.Manifest.Cluster == pin.String() && e.Manifest.Recovery != t.ID() {
			n++
		}
	}
	return n
}

// lockPatience is how long somebody else, who saves to the same folder, is waited
// for.
const lockPatience = 10 * time.Minute

// lock makes the folder and keeps everybody else from changing it: other
// goroutines, which wait in turn, and other processes.
func (m *Manager) lock(ctx context.Context) (release func(), err error) {
	select {
	case m.gate <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() {
		if err != nil {
			<-m.gate
		}
	}()
	if err := os.MkdirAll(m.cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("folder of snapshots: %w: choose another --snapshot-dir", err)
	}
	wait, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	for {
		held, err := fsx.Lock(filepath.Join(m.cfg.Dir, ".lock"))
		if err == nil {
			// What cannot be removed now is no reason to save nothing.
			if err := m.sweep(); err != nil {
				m.cfg.Log.Warn("cannot tidy the folder of snapshots", "error", err)
			}
			return func() { _ = held.Close(); <-m.gate }, nil
		}
		if !errors.Is(err, fsx.ErrLocked) || !lifecycle.Pause(wait, 200*time.Millisecond) {
			return nil, fmt.Errorf("folder of snapshots: %w", err)
		}
	}
}
