package firewall

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
	"github.com/kedge-io/kedge/edgefw/view"
)

const (
	// askTime bounds how long all nodes together may take to tell their facts.
	askTime = 5 * time.Second
	// askAtOnce bounds how many are asked at a time.
	askAtOnce = 16
)

func newest(firewalls map[string]model.Firewall) time.Time {
	var t time.Time
	for _, m := range firewalls {
		if m.Created.After(t) {
			t = m.Created
		}
	}
	return t
}

func (f *Firewall) servePlan(w http.ResponseWriter, r *http.Request) {
	now := f.compiled.Load()
	if now == nil {
		http.Error(w, errNotYet, http.StatusServiceUnavailable)
		return
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, view.MaxManifest))
	if err != nil {
		http.Error(w, fmt.Sprintf("read the manifests (%d bytes at most): %v", view.MaxManifest, err), http.StatusBadRequest)
		return
	}
	p, err := readProposal(data)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.deleted = r.URL.Query()[view.QueryDelete]
	only := r.URL.Query().Get(view.QueryNode)
	if _, ok := now.Rulesets[only]; only != "" && !ok {
		http.Error(w, fmt.Sprintf("no node %q in the cluster: see kubectl get nodes", only), http.StatusNotFound)
		return
	}
	answer(w, f.plan(r.Context(), now, p, only))
}

// plan is what would become of the nodes, or of one.
func (f *Firewall) plan(ctx context.Context, now *compiled, p proposal, only string) view.Plan {
	problems := p.check(ctx, f.api)
	in := now.input
	problems = append(problems, p.change(&in)...)
	if len(problems) > 0 {
		return view.Plan{Problems: problems}
	}
	next := plan.Compile(in)
	out := view.Plan{Notes: p.notes}
	same := map[[2]*model.Ruleset]string{}
	for _, node := range slices.Sorted(maps.Keys(next.Rulesets)) {
		if !f.places.has(node) || only != "" && node != only {
			continue
		}
		before, after := now.Rulesets[node], next.Rulesets[node]
		n := view.PlannedNode{Node: node, Firewalls: next.Of[node], Unreachable: next.Unreachable[node]}
		if first, ok := same[[2]*model.Ruleset{before, after}]; ok {
			n.As = first
			n.Changed = out.Nodes[slices.IndexFunc(out.Nodes, func(o view.PlannedNode) bool { return o.Node == first })].Changed
		} else {
			d := plan.Diff(before, after)
			n.Ruleset, n.Difference, n.Changed = plan.Text(after), &d, !d.Empty()
			same[[2]*model.Ruleset{before, after}] = node
		}
		out.Nodes = append(out.Nodes, n)
	}
	f.risks(ctx, next, out.Nodes, only != "")
	return out
}

// risks judges what each node that changes would lose, by its own facts.
func (f *Firewall) risks(ctx context.Context, next plan.Compiled, nodes []view.PlannedNode, all bool) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	slots := make(chan struct{}, askAtOnce)
	var asking sync.WaitGroup
	for i := range nodes {
		n := &nodes[i]
		if !n.Changed && !all {
			continue
		}
		slots <- struct{}{}
		asking.Go(func() {
			defer func() { <-slots }()
			facts, err := f.factsOf(ctx, n.Node)
			if err != nil {
				n.Assumed, n.FactsProblem = true, err.Error()
			}
			n.Risks = distinct(plan.Cuts(next.Rulesets[n.Node], facts, plan.Local{}))
		})
	}
	asking.Wait()
}

// distinct leaves one example of each kind: a server has a door for each node.
func distinct(risks []plan.Risk) []plan.Risk {
	type kind struct{ what, by, savedBy string }
	seen := map[kind]bool{}
	return slices.DeleteFunc(risks, func(r plan.Risk) bool {
		k := kind{r.What, r.By, r.SavedBy}
		before := seen[k]
		seen[k] = true
		return before
	})
}

// factsOf are what a node says of itself, or else what is certain without it.
func (f *Firewall) factsOf(ctx context.Context, node string) (model.Facts, error) {
	var said view.Node
	err := f.ask(ctx, node, view.PathNode, nil, &said)
	if err == nil {
		return said.Facts, nil
	}
	assumed := model.Facts{}
	for _, a := range f.cfg.Servers {
		if node == f.cfg.OwnNode {
			assumed.Door = f.cfg.Port
			break
		}
		assumed.Servers = append(assumed.Servers, netip.AddrPortFrom(a, f.cfg.Port))
	}
	return assumed, err
}
