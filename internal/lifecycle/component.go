package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Component is one part of a daemon. The values are used by one [Group] only.
type Component struct {
	// Name is the word for the part in logs, health and documents: lower-case
	// words joined by dashes.
	Name string
	// Needs names the components that must be ready before Run is called.
	Needs []string
	// Prepare, where set, does what may fail for reasons that a person must
	// mend: reading input, checking the host. It runs before any Run, in the
	// order of the list, leaves nothing running and may be repeated.
	Prepare func(ctx context.Context) error
	// Run blocks until ctx ends and then returns nil or ctx.Err(). It calls
	// ready once, when the part has been used with success, not when it
	// merely listens. Any return before ctx ends fails the group.
	Run func(ctx context.Context, ready func()) error
}

// State is where a component is in its life.
type State string

// The states of a component, in the order in which they follow each other.
// Failed may follow preparing, starting and ready.
const (
	StateWaiting   State = "waiting"
	StatePreparing State = "preparing"
	StateStarting  State = "starting"
	StateReady     State = "ready"
	StateStopping  State = "stopping"
	StateStopped   State = "stopped"
	StateFailed    State = "failed"
)

// Status is what the group knows of one component.
type Status struct {
	Name  string   `json:"name"`
	State State    `json:"state"`
	Needs []string `json:"needs,omitempty"`
	// Since is when the state was entered.
	Since time.Time `json:"since"`
	// LastError is the latest trouble, whether it ended the component or was
	// only reported. It stays after the trouble is over.
	LastError string `json:"lastError,omitempty"`
	// Degraded tells that a reported trouble lasts: the component runs, but
	// not as it should.
	Degraded bool `json:"degraded,omitempty"`
}

// check validates the graph and returns for each component the indexes of
// those that need it.
func check(comps []Component) ([][]int, error) {
	index := make(map[string]int, len(comps))
	var errs []error
	for i, c := range comps {
		switch {
		case c.Name == "" || c.Run == nil:
			errs = append(errs, fmt.Errorf("component %d (%q) lacks a name or a run function", i, c.Name))
		case has(index, c.Name):
			errs = append(errs, fmt.Errorf("component %q is listed twice", c.Name))
		}
		index[c.Name] = i
	}
	dependants := make([][]int, len(comps))
	for i, c := range comps {
		for _, need := range c.Needs {
			j, ok := index[need]
			if !ok {
				errs = append(errs, fmt.Errorf("component %q needs %q, which is not in the group", c.Name, need))
				continue
			}
			dependants[j] = append(dependants[j], i)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return dependants, findCycle(comps, index)
}

func has(m map[string]int, k string) bool { _, ok := m[k]; return ok }

// findCycle walks the needs depth first and names the first circle it meets.
func findCycle(comps []Component, index map[string]int) error {
	const unseen, open, done = 0, 1, 2
	mark := make([]int, len(comps))
	var path []string
	var visit func(i int) error
	visit = func(i int) error {
		path = append(path, comps[i].Name)
		defer func() { path = path[:len(path)-1] }()
		switch mark[i] {
		case open:
			return fmt.Errorf("components need each other in a circle: %s", strings.Join(path, " -> "))
		case done:
			return nil
		}
		mark[i] = open
		for _, need := range comps[i].Needs {
			if err := visit(index[need]); err != nil {
				return err
			}
		}
		mark[i] = done
		return nil
	}
	for i := range comps {
		if mark[i] == unseen {
			if err := visit(i); err != nil {
				return err
			}
		}
	}
	return nil
}
