package plan

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/kedge-io/kedge/edgefw/model"
)

// host is the host's part of a ruleset.
type host struct {
	number int
	rules  model.HostRules
	// sets are those that the rules name, sorted.
	sets []model.SetID
	// content is the same for equal rules.
	content string
}

// host gives the rules of a selection at a site where some sets of nodes have
// private addresses.
func (r *run) host(s *selection, near []model.SetID) *host {
	key := strconv.Itoa(s.number)
	for _, id := range near {
		key += ";" + string(id)
	}
	if h, ok := r.now.hosts[key]; ok {
		return h
	}
	h, ok := r.c.last.hosts[key]
	if !ok {
		h = r.sharedHost(s.host(near))
	}
	r.now.hosts[key] = h
	r.now.equal[h.content] = h
	return h
}

// sharedHost finds one with the same content that came from something else.
func (r *run) sharedHost(h *host) *host {
	h.content = strings.Join(hostLines(&h.rules), "\n")
	for _, m := range []*memory{r.now, r.c.last} {
		if same, ok := m.equal[h.content]; ok {
			return same
		}
	}
	h.number = r.c.next()
	return h
}

// host adds the sets of private addresses to the rules.
func (s *selection) host(near []model.SetID) *host {
	h := &host{rules: s.rules}
	if len(near) > 0 {
		h.rules.Ingress.Rules = withNear(h.rules.Ingress.Rules, near)
		h.rules.Egress.Rules = withNear(h.rules.Egress.Rules, near)
	}
	h.sets = setsOf(&h.rules)
	return h
}

func withNear(rules []model.HostRule, near []model.SetID) []model.HostRule {
	rules = slices.Clone(rules)
	for i := range rules {
		var more []model.SetID
		for _, id := range rules[i].Peers {
			if slices.Contains(near, id) {
				more = append(more, nearSet(id))
			}
		}
		if more != nil {
			rules[i].Peers = slices.Sorted(slices.Values(slices.Concat(rules[i].Peers, more)))
		}
	}
	return rules
}

// active tells whether a direction is enforced at all.
func active(c *model.Chain) bool { return len(c.Rules) > 0 || c.Default != model.Pass }

func setsOf(rules *model.HostRules) []model.SetID {
	used := map[model.SetID]bool{}
	for _, c := range []*model.Chain{&rules.Ingress, &rules.Egress} {
		for i := range c.Rules {
			for _, id := range c.Rules[i].Peers {
				used[id] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(used))
}
