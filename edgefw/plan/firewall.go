package plan

import (
	"cmp"
	"maps"
	"slices"

	"github.com/kedge-io/kedge/edgefw/model"
)

// firewall is one as it was written, and in the words of rulesets.
type firewall struct {
	source *model.Firewall
	*translation
}

// translation depends on nothing but the firewall itself.
type translation struct {
	number int
	// of is what was translated: it holds the rules, so that no others come to be
	// where they are.
	of      model.Firewall
	rules   [len(model.Directions)][]model.HostRule
	sources map[model.SetID]source
	// nodes are the sets of nodes' addresses that the rules name, sorted.
	nodes []model.SetID
}

// translateAll gives all in the order in which they are asked.
func (r *run) translateAll() []firewall {
	all := make([]firewall, 0, len(r.in.Firewalls))
	for i := range r.in.Firewalls {
		f := &r.in.Firewalls[i]
		t, ok := r.c.last.translations[f.Name]
		if !ok || !sameRules(&t.of, f) {
			t = translate(f)
			t.number = r.c.next()
		}
		r.now.translations[f.Name] = t
		maps.Copy(r.sources, t.sources)
		all = append(all, firewall{source: f, translation: t})
	}
	slices.SortFunc(all, func(a, b firewall) int { return before(a.source, b.source) })
	return all
}

// section is what a firewall says of a direction, by its index.
func section(f *model.Firewall, direction int) *model.Section {
	if model.Directions[direction] == model.Ingress {
		return &f.Ingress
	}
	return &f.Egress
}

// before is the order of precedence.
func before(a, b *model.Firewall) int {
	return cmp.Or(cmp.Compare(a.Priority, b.Priority), a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name))
}

// sameRules tells it from where the rules are: they are not changed in place.
func sameRules(a, b *model.Firewall) bool {
	return a.Name == b.Name && a.OnChange == b.OnChange &&
		a.Ingress.Default == b.Ingress.Default && a.Egress.Default == b.Egress.Default &&
		sameSlice(a.Ingress.Rules, b.Ingress.Rules) && sameSlice(a.Egress.Rules, b.Egress.Rules)
}

// sameSlice tells whether two slices are one.
func sameSlice[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

func translate(f *model.Firewall) *translation {
	t := &translation{of: *f, sources: map[model.SetID]source{}}
	for i := range model.Directions {
		s := section(f, i)
		for j := range s.Rules {
			t.rules[i] = append(t.rules[i], t.rule(model.Directions[i], &s.Rules[j]))
		}
	}
	for id, s := range t.sources {
		if s.hasNear() {
			t.nodes = append(t.nodes, id)
		}
	}
	slices.Sort(t.nodes)
	return t
}

func (t *translation) rule(direction model.Direction, rule *model.Rule) model.HostRule {
	p := peersOf(rule.Peers)
	maps.Copy(t.sources, p.sources)
	out := model.HostRule{
		ID:     t.of.Name + "/" + string(direction) + "/" + rule.Name,
		Action: rule.Action, Protocol: rule.Protocol, Ports: joinPorts(rule.Ports),
		Peers: p.sets, Anybody: p.anybody, Log: rule.Log && rule.Action != model.Log,
	}
	// A limit says how much is allowed; what is refused has none.
	if rule.Action == model.Allow {
		out.Rate, out.Connections = rule.Rate, rule.Connections
	}
	return out
}

// joinPorts are the fewest ranges, sorted; none for all.
func joinPorts(list []model.PortRange) []model.PortRange {
	sorted := slices.Clone(list)
	slices.SortFunc(sorted, func(a, b model.PortRange) int { return cmp.Compare(a.First, b.First) })
	var joined []model.PortRange
	for _, p := range sorted {
		last := len(joined) - 1
		if last >= 0 && uint32(p.First) <= uint32(joined[last].Last)+1 {
			joined[last].Last = max(joined[last].Last, p.Last)
			continue
		}
		joined = append(joined, p)
	}
	return joined
}
