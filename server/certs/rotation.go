package certs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/kedge-io/kedge/internal/fsx"
	"github.com/kedge-io/kedge/internal/pki"
)

// Phase is how far the replacement of the authorities has come.
type Phase string

// The phases, in their order. Each begins with one atomic write; what follows
// from it is done by [Ensure], as often as it takes.
const (
	// PhaseNone: nothing is being replaced.
	PhaseNone Phase = ""
	// PhasePrepared: the new authorities exist and are trusted; the former sign.
	PhasePrepared Phase = "prepared"
	// PhaseSwitched: the new ones sign, with cross certificates of the former
	// behind each leaf; both are trusted.
	PhaseSwitched Phase = "switched"
	// PhaseFinished: the former are trusted no more and about to be removed.
	PhaseFinished Phase = "finished"
)

// State says what is known of a rotation.
type State struct {
	Phase Phase `json:"phase"`
	// Began is when the new authorities were made, Switched when they began to sign.
	Began    time.Time `json:"began"`
	Switched time.Time `json:"switched,omitzero"`
	// Former and Next are the pins of the server authorities.
	Former string `json:"former"`
	Next   string `json:"next"`
	// NextClient is the pin of the next client authority.
	NextClient string `json:"nextClient"`
	// Crossed tells that the former authorities have certified the next ones. Those
	// of the first version cannot: everybody must know the next before they sign.
	Crossed bool `json:"crossed"`
}

const (
	stateFile    = "state.json"
	formerFolder = "former"
	nextFolder   = "next"
	// unfinished is behind the name of a folder that does not count yet, or not
	// any more.
	unfinished = ".tmp"
)

// ReadState reads the state; a zero one if no rotation is under way.
func ReadState(paths Paths) (State, error) {
	var state State
	path := filepath.Join(paths.Rotation, stateFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return state, nil
	}
	if err != nil {
		return state, fmt.Errorf("read the state of the rotation: %w", err)
	}
	if err := json.Unmarshal(text, &state); err != nil {
		return state, fmt.Errorf("read the state of the rotation %s: %w", path, err)
	}
	switch state.Phase {
	case PhasePrepared, PhaseSwitched, PhaseFinished:
		return state, nil
	}
	return state, fmt.Errorf("the rotation %s is in phase %q, which this kedge does not know", path, state.Phase)
}

func writeState(dir string, state State) error {
	text, err := json.MarshalIndent(state, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the state of the rotation: %w", err)
	}
	return fsx.WriteFile(filepath.Join(dir, stateFile), append(text, '\n'), 0o600)
}

func (s slot) in(paths Paths, folder string) Pair {
	base := filepath.Join(paths.Rotation, folder, s.file)
	return Pair{Cert: base + ".crt", Key: base + ".key"}
}

func (s slot) cross(paths Paths) string {
	return filepath.Join(paths.Rotation, nextFolder, s.file+"-cross.crt")
}

// begin makes the next authorities and what the former say about them, and puts
// all of it into place at once.
func begin(paths Paths, now time.Time) (State, error) {
	aside := paths
	aside.Rotation += unfinished
	if err := os.RemoveAll(aside.Rotation); err != nil {
		return State{}, fmt.Errorf("remove what an earlier try has left: %w", err)
	}
	for _, folder := range []string{formerFolder, nextFolder} {
		if err := os.MkdirAll(filepath.Join(aside.Rotation, folder), 0o700); err != nil {
			return State{}, fmt.Errorf("make folder for authorities: %w", err)
		}
	}
	state := State{Phase: PhasePrepared, Began: now.UTC().Truncate(time.Second), Crossed: true}
	for _, s := range paths.slots() {
		former, next, crossed, err := s.succeed(aside, now)
		if err != nil {
			return State{}, err
		}
		state.Crossed = state.Crossed && crossed
		if s.pair == paths.ServerCA {
			state.Former, state.Next = pki.PinOf(former.Cert).String(), pki.PinOf(next.Cert).String()
		}
		if s.pair == paths.ClientCA {
			state.NextClient = pki.PinOf(next.Cert).String()
		}
	}
	if err := writeState(aside.Rotation, state); err != nil {
		return State{}, err
	}
	if err := os.Rename(aside.Rotation, paths.Rotation); err != nil {
		return State{}, fmt.Errorf("begin the rotation: %w", err)
	}
	return state, fsx.SyncDir(filepath.Dir(paths.Rotation))
}

// succeed makes the next authority of one kind.
func (s slot) succeed(aside Paths, now time.Time) (former, next *pki.CA, crossed bool, err error) {
	if former, err = pki.ReadCA(s.pair.Cert, s.pair.Key); err != nil {
		return nil, nil, false, err
	}
	// A name of its own: people and openssl tell authorities by their names.
	if next, err = pki.NewCA(s.name+now.UTC().Format("-20060102-150405"), now); err != nil {
		return nil, nil, false, err
	}
	for folder, ca := range map[string]*pki.CA{formerFolder: former, nextFolder: next} {
		pair := s.in(aside, folder)
		if err := ca.Write(pair.Cert, pair.Key); err != nil {
			return nil, nil, false, err
		}
	}
	cross, err := former.Cross(next.Cert, now)
	if errors.Is(err, pki.ErrNoCross) {
		return former, next, false, nil
	}
	if err != nil {
		return nil, nil, false, err
	}
	return former, next, true, pki.WriteCert(s.cross(aside), cross)
}

// follow makes the files of the authorities what the phase says. The folder of
// the rotation is the truth until it is gone, so this may end at any line.
func (m *maker) follow() error {
	if err := os.RemoveAll(m.paths.Rotation + unfinished); err != nil {
		return fmt.Errorf("remove what an earlier rotation has left: %w", err)
	}
	var err error
	if m.state, err = ReadState(m.paths); err != nil {
		return err
	}
	if m.state.Phase != PhaseSwitched && m.state.Phase != PhaseFinished {
		return nil
	}
	for _, s := range m.paths.slots() {
		next := s.in(m.paths, nextFolder)
		for _, file := range []struct {
			from, to string
			mode     fs.FileMode
		}{{next.Key, s.pair.Key, 0o600}, {next.Cert, s.pair.Cert, 0o644}} {
			text, err := os.ReadFile(file.from)
			if err != nil {
				return fmt.Errorf("put the next authority into place: %w", err)
			}
			if _, err := fsx.WriteFileIfChanged(file.to, text, file.mode); err != nil {
				return err
			}
		}
	}
	return nil
}

// tidy removes the former authorities once nothing refers to them.
func (m *maker) tidy() error {
	if m.state.Phase != PhaseFinished {
		return nil
	}
	gone := m.paths.Rotation + unfinished
	if err := os.Rename(m.paths.Rotation, gone); err != nil {
		return fmt.Errorf("end the rotation: %w", err)
	}
	if err := fsx.SyncDir(filepath.Dir(gone)); err != nil {
		return err
	}
	m.state = State{}
	m.log.Info("authorities replaced, the former ones are gone")
	if err := os.RemoveAll(gone); err != nil {
		return fmt.Errorf("remove the former authorities: %w", err)
	}
	return nil
}
