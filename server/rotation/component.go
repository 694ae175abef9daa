package rotation

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/server/certs"
)

// ComponentName is the word for this part in logs and health.
const ComponentName = "ca-rotation"

// maxAsked is how many nodes are asked at a time; each takes the server some
// signatures.
const maxAsked = 16

// pace holds how fast nodes are asked.
type pace struct {
	// look is how often it is checked whether there is anybody to ask.
	look time.Duration
	// ask bounds one question.
	ask time.Duration
	// slowest is how long a node that does not get further is left alone.
	slowest time.Duration
}

var defaultPace = pace{look: 5 * time.Second, ask: time.Minute, slowest: 10 * time.Minute}

// Component returns the part that asks nodes to renew while authorities are
// replaced, and once more afterwards, so that they forget the former ones.
func (r *Rotation) Component(needs ...string) lifecycle.Component {
	return lifecycle.Component{
		Name: ComponentName, Needs: needs,
		Run: func(ctx context.Context, ready func()) error {
			ready()
			ticker := time.NewTicker(r.pace.look)
			defer ticker.Stop()
			// After a start somebody may still know an authority that is gone.
			round := &asking{Rotation: r, forgetting: true, asked: map[string]asked{}}
			for {
				if r.ownLate.Load() && r.own(ctx) == nil {
					r.ownLate.Store(false)
				}
				round.all(ctx)
				select {
				case <-ctx.Done():
					return nil
				case <-ticker.C:
				case <-r.kick:
					round.forgetting = true
					clear(round.asked)
				}
			}
		},
	}
}

// asking is the state of the component, which one goroutine has.
type asking struct {
	*Rotation
	// forgetting tells that nodes may know an authority that is gone.
	forgetting bool
	asked      map[string]asked
}

// asked says when a node may be asked again.
type asked struct {
	next  time.Time
	delay time.Duration
}

// all asks every node that can be asked and is not where the phase wants it.
func (r *asking) all(ctx context.Context) {
	a, err := r.config.Keeper.Authorities()
	if err != nil || (a.State.Phase == certs.PhaseNone && !r.forgetting) {
		return
	}
	nodes, err := r.config.Nodes(ctx)
	if err != nil {
		r.config.Log.Debug("nodes are not known", "error", err)
		return
	}
	r.forgetting = false
	var work sync.WaitGroup
	slots := make(chan struct{}, maxAsked)
	for _, n := range nodes {
		if !n.Connected || n.Out || !behind(a, n) {
			continue
		}
		r.forgetting = true
		if !r.due(n.Name) {
			continue
		}
		slots <- struct{}{}
		work.Go(func() {
			defer func() { <-slots }()
			r.ask(ctx, n.Name)
		})
	}
	work.Wait()
}

// due says whether a node may be asked now, and notes that it is: one that does
// not get further is asked less and less often.
func (r *asking) due(node string) bool {
	before, now := r.asked[node], time.Now()
	if now.Before(before.next) {
		return false
	}
	delay := min(max(2*before.delay, r.pace.look), r.pace.slowest)
	r.asked[node] = asked{next: now.Add(before.delay), delay: delay}
	return true
}

func (r *Rotation) ask(ctx context.Context, node string) {
	ctx, cancel := context.WithTimeout(ctx, r.pace.ask)
	defer cancel()
	if err := r.config.Renew(ctx, node); err != nil {
		r.config.Log.Debug("node has not renewed", "node", node, "error", err)
	}
}

// behind says whether a renewal would bring a node further: it does not know all
// authorities, knows one that is gone, or shows a certificate of the former one.
func behind(a *certs.Authorities, n Node) bool {
	if len(n.Trusts) == 0 {
		return a.State.Phase != certs.PhaseNone // a node of the first version says nothing
	}
	var pins []string
	for _, ca := range a.Server {
		pin := pki.PinOf(ca).String()
		if pins = append(pins, pin); !slices.Contains(n.Trusts, pin) {
			return true
		}
	}
	for _, pin := range n.Trusts {
		if !slices.Contains(pins, pin) {
			return true
		}
	}
	return a.State.Phase == certs.PhaseSwitched && n.Issuer != a.State.NextClient
}
