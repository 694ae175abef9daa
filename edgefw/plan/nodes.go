package plan

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan/netpol"
)

// nodes makes the ruleset of each.
func (r *run) nodes() Compiled {
	count := len(r.in.Inventory.Nodes)
	out := Compiled{Rulesets: make(map[string]*model.Ruleset, count), Of: make(map[string][]string, count),
		Unreachable: map[string][]Unreachable{}}
	for i := range r.in.Inventory.Nodes {
		name := r.in.Inventory.Nodes[i].Name
		s := r.selectionOf(i)
		h := r.host(s)
		out.Rulesets[name] = r.ruleset(i, h)
		out.Of[name] = r.list(s.firewalls)
		if len(h.unreachable) > 0 {
			out.Unreachable[name] = h.unreachable
		}
	}
	return out
}

func (r *run) selectionOf(i int) *selection {
	n := &r.in.Inventory.Nodes[i]
	s := &selection{}
	for _, f := range r.firewalls {
		if f.source.Nodes == nil || f.source.Nodes.Matches(labels.Set(n.Labels)) {
			s.firewalls = append(s.firewalls, f)
		}
	}
	if len(s.firewalls) == 0 {
		return s
	}
	s.services = r.services[n.Name]
	if site := r.sites.of[i]; site != "" {
		s.near = r.nearOf(site, s.firewalls)
	}
	return s
}

// nearOf are the sets of nodes' addresses that have private ones at a site.
func (r *run) nearOf(site string, firewalls []firewall) []model.SetID {
	var ids []model.SetID
	for _, f := range firewalls {
		for _, id := range f.nodes {
			if len(r.set(setKey{id: nearSet(id), site: site}).value.Prefixes) > 0 {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// list is one slice for all nodes that the same firewalls select.
func (r *run) list(firewalls []firewall) []string {
	names := make([]string, 0, len(firewalls))
	for _, f := range firewalls {
		names = append(names, f.source.Name)
	}
	key := strings.Join(names, "/")
	for _, m := range []*memory{r.now, r.c.last} {
		if list, ok := m.lists[key]; ok {
			r.now.lists[key] = list
			return list
		}
	}
	r.now.lists[key] = names
	return names
}

// ruleset puts a node's parts together, or finds that it was done before.
func (r *run) ruleset(i int, h *host) *model.Ruleset {
	n := &r.in.Inventory.Nodes[i]
	pods := r.pods.Of(n.Name)
	ids := h.sets
	if n.Server && Active(&h.rules.Ingress) {
		ids = append([]model.SetID{KnownSet}, ids...)
	}
	key, sets := r.parts(h, pods, ids, r.sites.of[i])
	for _, m := range []*memory{r.now, r.c.last} {
		if rs, ok := m.rulesets[key]; ok {
			r.now.rulesets[key] = rs
			return rs
		}
	}
	rs := assemble(h, pods, ids, sets)
	r.now.rulesets[key] = rs
	return rs
}

// parts are the sets of a ruleset, and a word that is the same as long as all
// its parts are.
func (r *run) parts(h *host, pods *netpol.Result, ids []model.SetID, site string) (string, []*set) {
	var key strings.Builder
	fmt.Fprintf(&key, "%d;%d", h.number, r.podsNumber(pods))
	sets := make([]*set, 0, len(ids))
	for _, id := range ids {
		s := r.set(setKey{id: id, site: siteFor(id, site)})
		sets = append(sets, s)
		fmt.Fprintf(&key, ",%d", s.number)
	}
	return key.String(), sets
}

// siteFor leaves the site out where a set is the same everywhere.
func siteFor(id model.SetID, site string) string {
	if isOfSite(id) {
		return site
	}
	return ""
}

func isOfSite(id model.SetID) bool {
	return id == KnownSet || strings.HasPrefix(string(id), nearPrefix)
}

func (r *run) podsNumber(pods *netpol.Result) int {
	number, ok := r.now.pods[pods]
	if !ok {
		if number, ok = r.c.last.pods[pods]; !ok {
			number = r.c.next()
		}
		r.now.pods[pods] = number
	}
	return number
}

func assemble(h *host, pods *netpol.Result, ids []model.SetID, sets []*set) *model.Ruleset {
	rs := &model.Ruleset{Host: h.rules, Sets: make(map[model.SetID]model.Set, len(sets))}
	for i, id := range ids {
		rs.Sets[id] = sets[i].value
	}
	if pods == nil {
		return rs
	}
	rs.Pods = pods.Rules
	for id, s := range pods.Sets {
		rs.Sets[id] = s
	}
	return rs
}
