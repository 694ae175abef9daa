package shape

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/kedge-io/kedge/agent/bandwidth/plan"
)

// Kernel applies plans. Its methods may be called concurrently.
type Kernel struct {
	log        *slog.Logger
	classifier Classifier

	// dial is replaced by tests of crashes.
	dial func() (*conn, error)

	mu        sync.Mutex
	abilities *Abilities
	sets      map[string]Set // by device of the uplink's first tree
}

// Result tells what an Apply did.
type Result struct {
	// Changes are how many things were made, changed or removed in the kernel
	// besides the tables of the classification; 0 if all was right.
	Changes int
	// Gone are links of the plan that are not there (any more).
	Gone []int
}

// New makes a Kernel; it does nothing yet.
func New(log *slog.Logger, classifier Classifier) *Kernel {
	return &Kernel{log: log, classifier: classifier, dial: dial, sets: map[string]Set{}}
}

// Apply brings the kernel to the plan. It changes what differs and nothing else:
// a class that changes keeps its packets. New classes come before the tables
// that name them and these before filters; what is not wanted goes the other way
// round. So after a crash at any point packets pass, shaped by the old plan, the
// new one or, new pods, not yet. A [Missing] in the error says that this kernel
// cannot shape; errors about single links do not keep it from the rest.
func (k *Kernel) Apply(ctx context.Context, p plan.Plan) (Result, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c, err := k.dial()
	if err != nil {
		return Result{}, err
	}
	defer c.Close()
	if err := k.probe(p); err != nil {
		return Result{}, errors.Join(err, k.openUp(ctx, c, p))
	}
	var r Result
	for again := true; again && err == nil; {
		var round Result
		round, again, err = k.round(ctx, c, p)
		r.Changes, r.Gone, again = r.Changes+round.Changes, round.Gone, again && round.Changes > 0
	}
	return r, errors.Join(err, k.closeAllBut(p))
}

// round is one comparison of the kernel with the plan, and its changes. A second
// one is needed if a class is to be a leaf that had children.
func (k *Kernel) round(ctx context.Context, c *conn, p plan.Plan) (r Result, again bool, err error) {
	have, err := c.read()
	if err == nil && len(have.strays) > 0 {
		if err = bringHome(k.log, have.strays); err == nil {
			r.Changes = len(have.strays)
			have, err = c.read()
		}
	}
	if err != nil {
		return r, false, err
	}
	a := &applying{ctx: ctx, log: k.log, conn: c, plan: p, have: have}
	if k.abilities != nil {
		a.want = Wish(p, have.facts(*k.abilities))
	}
	err = a.run(k)
	return Result{Changes: r.Changes + a.changes, Gone: gonePods(p, have)}, a.again, err
}

// openUp lets packets pass that can no longer be shaped.
func (k *Kernel) openUp(ctx context.Context, c *conn, p plan.Plan) error {
	have, err := c.read()
	if err != nil {
		return err
	}
	return (&applying{ctx: ctx, log: k.log, conn: c, plan: p, have: have}).openUp()
}

// probe asks the kernel once what it can, when there is something to do.
func (k *Kernel) probe(p plan.Plan) error {
	if k.abilities != nil || len(p.Uplinks) == 0 {
		return nil
	}
	a, err := Probe()
	if err != nil {
		return err
	}
	k.abilities = &a
	k.log.Info("kernel asked for what it has for shaping", "queue", a.Queue, "segment", a.Segment, "missing", a.Reasons)
	return nil
}

func gonePods(p plan.Plan, have *kernelState) []int {
	var gone []int
	for _, u := range p.Uplinks {
		for _, pod := range u.Pods {
			if _, there := have.links[pod.Link]; !there {
				gone = append(gone, pod.Link)
			}
		}
	}
	slices.Sort(gone)
	return slices.Compact(gone)
}

// Close gives back what talks to the tables; shaping stays in force.
func (k *Kernel) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.closeAllBut(plan.Plan{})
}

// closeAllBut gives back the programs of uplinks that are not in the plan. The
// kernel keeps what is attached, and no more.
func (k *Kernel) closeAllBut(p plan.Plan) error {
	keep := map[string]bool{}
	for _, u := range p.Uplinks {
		keep[u.Trees[0].Device] = true
	}
	var problems []error
	for device, s := range k.sets {
		if !keep[device] {
			problems = append(problems, s.Close())
			delete(k.sets, device)
		}
	}
	return errors.Join(problems...)
}

// set returns the programs of an uplink: those in use, those that a former
// process attached, or new ones.
func (k *Kernel) set(device string, attached []uint32) (Set, error) {
	if s := k.sets[device]; s != nil {
		return s, nil
	}
	if len(attached) > 0 {
		s, err := k.classifier.Adopt(attached)
		if err == nil {
			k.sets[device] = s
			return s, nil
		}
		k.log.Info("programs of another version are replaced", "programs", attached, "reason", err)
	}
	s, err := k.classifier.Load()
	if err != nil {
		return nil, fmt.Errorf("loading the programs that find a packet's class: %w", err)
	}
	k.sets[device] = s
	return s, nil
}
