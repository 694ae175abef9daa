package firewall

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"github.com/kedge-io/kedge/edgefw/view"
)

// Ask asks a node through its link, GET path with query, and gives the JSON
// answer to into.
type Ask func(ctx context.Context, node, path string, query url.Values, into any) error

// Handlers answer kedge firewall about all nodes, by path.
func (f *Firewall) Handlers() map[string]http.Handler {
	return map[string]http.Handler{
		view.PathStatus:  only(http.MethodGet, f.serveStatus),
		view.PathPlan:    only(http.MethodPost, f.servePlan),
		view.PathExplain: only(http.MethodGet, f.serveExplain),
	}
}

func only(method string, h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method {
			w.Header().Set("Allow", method)
			http.Error(w, fmt.Sprintf("%s takes %s only", r.URL.Path, method), http.StatusMethodNotAllowed)
			return
		}
		h(w, r)
	})
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client is gone: nobody to tell
}

// errNotYet is the answer before the first rules were made.
const errNotYet = "the server has not read the firewalls yet: try again in a moment"

func (f *Firewall) serveStatus(w http.ResponseWriter, _ *http.Request) {
	answer(w, f.Status())
}

// Status is how far all nodes are.
func (f *Firewall) Status() view.Fleet {
	fleet := view.Fleet{Nodes: []view.Standing{}}
	now := f.compiled.Load()
	if p := f.problem.Load(); p != nil {
		fleet.Problem = *p
	}
	if now == nil {
		if fleet.Problem == "" {
			fleet.Problem = errNotYet
		}
		return fleet
	}
	fleet.Revision = now.revision
	states := f.states()
	for _, node := range slices.Sorted(maps.Keys(now.Rulesets)) {
		if !f.places.has(node) {
			continue
		}
		st, at := states[node], f.standing(node, states, now.revision)
		s := view.Standing{
			Node: node, Connected: st.Connected, State: string(at.state), Reason: at.reason, Wanted: st.Wanted, Applied: st.Applied,
			Latency: st.Latency, Took: st.Took, Firewalls: now.Of[node], Addresses: f.places.of(node), Software: st.Software,
		}
		if since := st.Since; !since.IsZero() {
			s.Since = &since
		}
		if node == f.cfg.OwnNode {
			s.Addresses = f.cfg.Own
		}
		fleet.Nodes = append(fleet.Nodes, s)
	}
	return fleet
}
