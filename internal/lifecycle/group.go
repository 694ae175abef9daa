package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// ErrReturned is wrapped by the error of a component that came back without
// an error of its own while it should have been running.
var ErrReturned = errors.New("returned while it should be running")

// Group runs components together. Its methods are safe for concurrent use;
// Run may be called once.
type Group struct {
	log        *slog.Logger
	comps      []Component
	dependants [][]int
	members    []*member
	byName     map[string]*member

	mu       sync.Mutex // guards the status of each member and changed
	onChange func([]Status)
}

// member is the running side of one component.
type member struct {
	comp   Component
	status Status
	ready  chan struct{} // closed once the component is ready
	done   chan struct{} // closed once the component has returned or will never run
	once   sync.Once
}

// NewGroup checks the graph of comps: names are unique, every need exists and
// nothing needs itself by a detour. All problems are reported together.
func NewGroup(log *slog.Logger, comps ...Component) (*Group, error) {
	dependants, err := check(comps)
	if err != nil {
		return nil, err
	}
	g := &Group{log: log, comps: comps, dependants: dependants, byName: map[string]*member{}}
	now := time.Now()
	for _, c := range comps {
		m := &member{
			comp:   c,
			status: Status{Name: c.Name, State: StateWaiting, Needs: c.Needs, Since: now},
			ready:  make(chan struct{}),
			done:   make(chan struct{}),
		}
		g.members = append(g.members, m)
		g.byName[c.Name] = m
	}
	return g, nil
}

// OnChange makes f be called with all states after each change of one, in
// order and never concurrently. Set it before Run; f must not call the group.
func (g *Group) OnChange(f func([]Status)) { g.onChange = f }

// Status returns the state of every component in the order of the list.
func (g *Group) Status() []Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.snapshot()
}

func (g *Group) snapshot() []Status {
	out := make([]Status, len(g.members))
	for i, m := range g.members {
		out[i] = m.status
	}
	return out
}

// Report records that the named component has trouble although it runs, or,
// with a nil error, that the trouble is over. Unknown names are ignored.
func (g *Group) Report(name string, err error) {
	m, ok := g.byName[name]
	if !ok {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	was := m.status
	m.status.Degraded = err != nil
	if err != nil {
		m.status.LastError = err.Error()
	}
	if was.Degraded == m.status.Degraded && was.LastError == m.status.LastError {
		return
	}
	switch {
	case err != nil && was.Degraded:
		// The same trouble in other words, once for each attempt.
		g.log.Debug("component still degraded", "component", name, "error", err)
	case err != nil:
		g.log.Warn("component degraded", "component", name, "error", err)
	default:
		g.log.Info("component recovered", "component", name)
	}
	g.changed()
}

// Run prepares all components, runs them until ctx ends or one fails, and
// returns after the last one has returned. It returns nil when ctx ended and
// every component left in peace, else what went wrong, wrapped with the name
// of the component.
func (g *Group) Run(ctx context.Context) error {
	if err := g.prepare(ctx); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()

	var (
		wg    sync.WaitGroup
		errMu sync.Mutex
		errs  []error
	)
	for i := range g.members {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := g.runMember(ctx, i); err != nil {
				errMu.Lock()
				errs = append(errs, err)
				errMu.Unlock()
				stop()
			}
		}()
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (g *Group) prepare(ctx context.Context) error {
	for _, m := range g.members {
		if m.comp.Prepare == nil {
			continue
		}
		g.set(m, StatePreparing, nil)
		if err := m.comp.Prepare(ctx); err != nil {
			g.set(m, StateFailed, err)
			return fmt.Errorf("%s: %w", m.comp.Name, err)
		}
		g.set(m, StateWaiting, nil)
	}
	return nil
}

// runMember takes component i through its life. group is the context whose end
// asks for a stop; the component's own context ends only when its dependants
// have returned.
func (g *Group) runMember(group context.Context, i int) error {
	m := g.members[i]
	defer close(m.done)
	if !g.awaitNeeds(group, m) {
		g.set(m, StateStopped, nil)
		return nil
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(group))
	defer cancel()
	go g.cancelAfterDependants(group, ctx, i, cancel)

	g.set(m, StateStarting, nil)
	err := runGuarded(ctx, m.comp, func() {
		m.once.Do(func() {
			g.set(m, StateReady, nil)
			close(m.ready)
		})
	})
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		g.set(m, StateStopped, nil)
		return nil
	}
	if err == nil {
		err = ErrReturned
	}
	g.set(m, StateFailed, err)
	return fmt.Errorf("%s: %w", m.comp.Name, err)
}

// runGuarded turns a panic of a component into its error, so that the others
// are stopped in order. Goroutines that the component started are beyond it.
func runGuarded(ctx context.Context, c Component, ready func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return c.Run(ctx, ready)
}

// awaitNeeds waits until all needs of m are ready. It returns false when the
// group ends or a need ends first.
func (g *Group) awaitNeeds(group context.Context, m *member) bool {
	for _, need := range m.comp.Needs {
		n := g.byName[need]
		select {
		case <-n.ready:
		case <-n.done:
			return false
		case <-group.Done():
			return false
		}
	}
	return group.Err() == nil
}

// cancelAfterDependants ends the component's context once the group is to
// stop and everyone who needs it has returned.
func (g *Group) cancelAfterDependants(group, own context.Context, i int, cancel context.CancelFunc) {
	select {
	case <-group.Done():
	case <-own.Done():
		return
	}
	for _, d := range g.dependants[i] {
		<-g.members[d].done
	}
	g.set(g.members[i], StateStopping, nil)
	cancel()
}

func (g *Group) set(m *member, s State, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	final := m.status.State == StateStopped || m.status.State == StateFailed
	if m.status.State == s || final {
		return
	}
	was := m.status.State
	m.status.State, m.status.Since = s, time.Now()
	if err != nil {
		m.status.LastError = err.Error()
	}
	switch s {
	case StateReady, StateStopped:
		g.log.Info("component "+string(s), "component", m.comp.Name)
	case StateFailed:
		if was == StatePreparing {
			break // nothing runs: Run's error is the message
		}
		g.log.Error("component failed", "component", m.comp.Name, "error", err)
	default:
		g.log.Debug("component "+string(s), "component", m.comp.Name)
	}
	g.changed()
}

// changed hands the states to the observer. The caller holds mu.
func (g *Group) changed() {
	if g.onChange != nil {
		g.onChange(g.snapshot())
	}
}
