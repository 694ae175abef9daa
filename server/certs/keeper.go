package certs

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kedge-io/kedge/internal/pki"
)

// authorityWarning is how long before an authority ends a person is told, who
// has to replace it.
const authorityWarning = 180 * 24 * time.Hour

// Keeper keeps the certificates of a running server. It is safe for concurrent
// use; what changes the disk happens one after the other.
type Keeper struct {
	config Config
	paths  Paths
	log    *slog.Logger
	report func(error)

	mu      sync.Mutex // held while the disk is changed
	current atomic.Pointer[Authorities]
	// unfinished tells that a step has begun and not all of it was done.
	unfinished chan struct{}
}

// NewKeeper returns the keeper for config. report, where not nil, is told trouble
// that lasts, and nil when it is over. Nothing is read or written yet.
func NewKeeper(config Config, log *slog.Logger, report func(error)) *Keeper {
	if config.Now == nil {
		config.Now = time.Now
	}
	if report == nil {
		report = func(error) {}
	}
	return &Keeper{config: config, paths: NewPaths(config.Layout), log: log, report: report, unfinished: make(chan struct{}, 1)}
}

// Paths names the files.
func (k *Keeper) Paths() Paths { return k.paths }

func (k *Keeper) lifetime() time.Duration {
	if k.config.Lifetime == 0 {
		return DefaultLifetime
	}
	return k.config.Lifetime
}

// Ensure is [Ensure] for this server.
func (k *Keeper) Ensure() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ensure(false, false)
}

// Rotate issues new leaves for the server at once, for new keys where wanted.
func (k *Keeper) Rotate(newKeys bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.ensure(true, newKeys); err != nil {
		return err
	}
	k.log.Info("certificates issued anew on request", "new-keys", newKeys)
	return nil
}

func (k *Keeper) ensure(replace, newKeys bool) error {
	m, err := newMaker(k.config, k.config.Now(), k.log)
	if err != nil {
		return err
	}
	m.replace, m.newKeys = replace, newKeys
	failed := m.run()
	if n := m.issued.Load(); n > 0 && !replace && k.current.Load() != nil {
		k.log.Info("certificates renewed", "count", n)
	}
	// What was reached counts even when a later step failed: who has switched
	// must not sign with the former authority.
	a, err := ReadAuthorities(k.paths, k.config.Lifetime)
	if err == nil {
		k.current.Store(a)
	}
	return errors.Join(failed, err)
}

// Authorities returns who signs and who is trusted now.
func (k *Keeper) Authorities() (*Authorities, error) {
	if a := k.current.Load(); a != nil {
		return a, nil
	}
	return nil, errors.New("the certificates are not there yet")
}

// ending says which authority ends soon, which only a person can mend.
func (k *Keeper) ending() error {
	a, err := k.Authorities()
	if err != nil {
		return err
	}
	for _, s := range k.paths.slots() {
		ca, err := pki.ReadCert(s.pair.Cert)
		if err != nil {
			return err
		}
		if left := ca.NotAfter.Sub(k.config.Now()); left < authorityWarning && a.State.Phase == PhaseNone {
			return fmt.Errorf("authority %s ends at %s: replace it with: kedge cert rotate-ca", filepath.Base(s.pair.Cert), ca.NotAfter.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// The steps of a replacement of all authorities. Each may be repeated, and goes
// on with what was interrupted.

// ErrPhase is wrapped by the errors of steps that are not in order.
var ErrPhase = errors.New("not in this phase of the rotation")

// PrepareCA makes the next authorities and has them trusted. It does nothing
// where that was done before.
func (k *Keeper) PrepareCA() (State, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	state, err := k.settled()
	if err != nil || state.Phase != PhaseNone {
		return state, err
	}
	if _, err := begin(k.paths, k.config.Now()); err != nil {
		return state, err
	}
	k.log.Info("next authorities are prepared, the present ones sign on")
	return k.settled()
}

// SwitchCA lets the next authorities sign. Whether nodes are ready for it is the
// caller's question where [State.Crossed] is false.
func (k *Keeper) SwitchCA() (State, error) {
	return k.advance(PhasePrepared, PhaseSwitched, func(s *State) { s.Switched = k.config.Now().UTC().Truncate(time.Second) })
}

// FinishCA stops trusting the former authorities and removes them for good.
// Whether nodes are ready for it is the caller's question.
func (k *Keeper) FinishCA() (State, error) {
	return k.advance(PhaseSwitched, PhaseFinished, func(*State) {})
}

func (k *Keeper) advance(from, to Phase, note func(*State)) (State, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	state, err := k.settled()
	switch {
	case err != nil || state.Phase == to:
		return state, err
	case state.Phase != from:
		return state, fmt.Errorf("%w: it is %s", ErrPhase, state.Phase)
	}
	state.Phase = to
	note(&state)
	if err := writeState(k.paths.Rotation, state); err != nil {
		return state, err
	}
	k.log.Info("rotation of the authorities goes on", "phase", string(to))
	return k.settled()
}

// settled has everything follow the phase, and returns that.
func (k *Keeper) settled() (State, error) {
	if err := k.ensure(false, false); err != nil {
		select {
		case k.unfinished <- struct{}{}:
		default:
		}
		return State{}, err
	}
	return k.current.Load().State, nil
}

// String is the phase in words.
func (p Phase) String() string {
	if p == PhaseNone {
		return "none"
	}
	return string(p)
}
