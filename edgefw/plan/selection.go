package plan

import (
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/kedge-io/kedge/edgefw/model"
)

// selection is the firewalls that select a node and the services that it offers.
// Nodes with the same have one.
type selection struct {
	number    int
	firewalls []firewall
	services  []*service
	// names are those of the firewalls.
	names []string
	// nodes are the sets of nodes' addresses that the rules name, sorted.
	nodes []model.SetID
	// rules are without private addresses.
	rules       model.HostRules
	unreachable []Unreachable
}

// selectionOf is that of a node.
func (r *run) selectionOf(n *model.Node) *selection {
	s := &selection{}
	for _, f := range r.firewalls {
		if f.source.Nodes == nil || f.source.Nodes.Matches(labels.Set(n.Labels)) {
			s.firewalls = append(s.firewalls, f)
		}
	}
	if len(s.firewalls) > 0 {
		s.services = r.services[n.Name]
	}
	key := s.key()
	for _, m := range []*memory{r.now, r.c.last} {
		if known, ok := m.selections[key]; ok {
			r.now.selections[key] = known
			return known
		}
	}
	s.build()
	s.number = r.c.next()
	r.now.selections[key] = s
	return s
}

func (s *selection) key() string {
	var b []byte
	for _, f := range s.firewalls {
		b = append(strconv.AppendInt(b, int64(f.number), 36), ',')
	}
	b = append(b, ';')
	for _, s := range s.services {
		b = append(strconv.AppendInt(b, int64(s.number), 36), ',')
	}
	return string(b)
}

func (s *selection) build() {
	s.names = make([]string, 0, len(s.firewalls))
	for _, f := range s.firewalls {
		s.names = append(s.names, f.of.Name)
		s.nodes = append(s.nodes, f.nodes...)
	}
	slices.Sort(s.nodes)
	s.nodes = slices.Compact(s.nodes)
	s.rules.Ingress = s.chain(0)
	s.rules.Egress = s.chain(1)
	asked := active(&s.rules.Ingress) || active(&s.rules.Egress)
	s.rules.Cut = asked && slices.ContainsFunc(s.firewalls, func(f firewall) bool { return f.of.OnChange == model.Cut })
}

// chain puts together the rules of one direction, by its index.
func (s *selection) chain(direction int) model.Chain {
	c := model.Chain{}
	for _, f := range s.firewalls {
		if d := section(&f.of, direction).Default; c.Default == model.Pass && d != model.Pass {
			c.Default, c.DefaultFrom = d, f.of.Name
		}
	}
	reached := newShadow()
	for _, rule := range s.candidates(direction, c.Default) {
		by, ok := reached.reach(&rule)
		if !ok {
			s.unreachable = append(s.unreachable, Unreachable{Rule: rule.ID, By: by})
			continue
		}
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

// nearOf are the sets of nodes' addresses that a selection names and that have
// some at a site that its nodes claim.
func (r *run) nearOf(site string, s *selection) []model.SetID {
	if site == "" {
		return nil
	}
	var ids []model.SetID
	for _, id := range s.nodes {
		if len(r.set(setKey{id: nearSet(id), site: site}).value.Prefixes) > 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// isOfSite tells whether a set is different at each site.
func isOfSite(id model.SetID) bool {
	return id == KnownSet || strings.HasPrefix(string(id), nearPrefix)
}
