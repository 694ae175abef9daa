package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kedge-io/kedge/edgefw/model"
)

// host is the host's part of a ruleset.
type host struct {
	number      int
	rules       model.HostRules
	unreachable []Unreachable
	// sets are those that the rules name, sorted.
	sets []model.SetID
	// content is the same for equal rules.
	content string
}

// selection is what a node's host rules come from. Equal ones have one result.
type selection struct {
	firewalls []firewall
	services  []*service
	// near are sets of nodes' addresses that have something for the node's site.
	near []model.SetID
}

func (s *selection) key() string {
	var b strings.Builder
	for _, f := range s.firewalls {
		fmt.Fprintf(&b, "%d,", f.number)
	}
	b.WriteByte(';')
	for _, s := range s.services {
		fmt.Fprintf(&b, "%d,", s.number)
	}
	for _, id := range s.near {
		b.WriteByte(';')
		b.WriteString(string(id))
	}
	return b.String()
}

// host gives the result for a selection.
func (r *run) host(s *selection) *host {
	key := s.key()
	if h, ok := r.now.hosts[key]; ok {
		return h
	}
	h, ok := r.c.last.hosts[key]
	if !ok {
		h = r.sharedHost(s.build())
	}
	r.now.hosts[key] = h
	r.now.equal[h.content] = h
	return h
}

// sharedHost takes the rules of one that is equal and came from something else.
func (r *run) sharedHost(h *host) *host {
	h.content = strings.Join(hostLines(&h.rules), "\n")
	for _, m := range []*memory{r.now, r.c.last} {
		if same, ok := m.equal[h.content]; ok {
			h.number, h.rules, h.sets = same.number, same.rules, same.sets
			return h
		}
	}
	h.number = r.c.next()
	return h
}

func (s *selection) build() *host {
	h := &host{}
	h.rules.Ingress = s.chain(0, h)
	h.rules.Egress = s.chain(1, h)
	active := Active(&h.rules.Ingress) || Active(&h.rules.Egress)
	h.rules.Cut = active && slices.ContainsFunc(s.firewalls, func(f firewall) bool { return f.source.OnChange == model.Cut })
	h.sets = setsOf(&h.rules)
	return h
}

// chain puts together the rules of one direction, by its index.
func (s *selection) chain(direction int, h *host) model.Chain {
	c := model.Chain{}
	for _, f := range s.firewalls {
		if d := section(f.source, direction).Default; c.Default == model.Pass && d != model.Pass {
			c.Default, c.DefaultFrom = d, f.source.Name
		}
	}
	reached := newShadow()
	for _, rule := range s.candidates(direction, c.Default) {
		by, ok := reached.reach(&rule)
		if !ok {
			h.unreachable = append(h.unreachable, Unreachable{Rule: rule.ID, By: by})
			continue
		}
		rule.Peers = s.withNear(rule.Peers)
		c.Rules = append(c.Rules, rule)
	}
	if reached.everything() {
		c.Default, c.DefaultFrom = model.Pass, ""
	}
	return c
}

// candidates are the rules of people and then those of services. The latter only
// have a meaning where the default is against them.
func (s *selection) candidates(direction int, otherwise model.Action) []model.HostRule {
	var rules []model.HostRule
	for _, f := range s.firewalls {
		rules = append(rules, f.rules[direction]...)
	}
	if model.Directions[direction] == model.Ingress && (otherwise == model.Deny || otherwise == model.Reject) {
		for _, service := range s.services {
			rules = append(rules, service.rules...)
		}
	}
	return rules
}

// withNear adds the sets of private addresses.
func (s *selection) withNear(ids []model.SetID) []model.SetID {
	var near []model.SetID
	for _, id := range ids {
		if slices.Contains(s.near, id) {
			near = append(near, nearSet(id))
		}
	}
	if near == nil {
		return ids
	}
	all := slices.Concat(ids, near)
	slices.Sort(all)
	return all
}

// Active tells whether a direction is enforced at all.
func Active(c *model.Chain) bool { return len(c.Rules) > 0 || c.Default != model.Pass }

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
