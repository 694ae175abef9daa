package plan

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan/chance"
)

const seeds = 120

func worldInput(c chance.Chance) Input {
	w := c.World()
	return Input{Firewalls: w.Firewalls, Inventory: w.Inventory, Known: w.Known}
}

// shuffled is the same input in another order.
func shuffled(c chance.Chance, in Input) Input {
	shuffle(c, &in.Firewalls)
	shuffle(c, &in.Inventory.Nodes)
	shuffle(c, &in.Inventory.Balanced)
	shuffle(c, &in.Inventory.Servers)
	shuffle(c, &in.Known)
	in.Inventory.AddressSets = maps.Clone(in.Inventory.AddressSets)
	for name, s := range in.Inventory.AddressSets {
		shuffle(c, &s.Prefixes)
		in.Inventory.AddressSets[name] = s
	}
	for i := range in.Inventory.Balanced {
		shuffle(c, &in.Inventory.Balanced[i].Ports)
		shuffle(c, &in.Inventory.Balanced[i].Nodes)
	}
	for i := range in.Inventory.Nodes {
		shuffle(c, &in.Inventory.Nodes[i].Public)
		shuffle(c, &in.Inventory.Nodes[i].Reported)
	}
	return in
}

func shuffle[T any](c chance.Chance, list *[]T) {
	*list = slices.Clone(*list)
	rand.New(c).Shuffle(len(*list), func(i, j int) { (*list)[i], (*list)[j] = (*list)[j], (*list)[i] })
}

func TestTheSameInAnyOrder(t *testing.T) {
	for seed := range uint64(seeds) {
		c := chance.New(seed)
		in := worldInput(c)
		a, b := Compile(in), Compile(shuffled(c, in))
		if !reflect.DeepEqual(a, b) {
			for name := range a.Rulesets {
				t.Logf("%s:\n%s", name, Diff(a.Rulesets[name], b.Rulesets[name]))
			}
			t.Fatalf("seed %d: another order gives another result", seed)
		}
	}
}

func TestDecisionsAreWhatPeopleWrote(t *testing.T) {
	met := map[model.Action]int{}
	for seed := range uint64(seeds) {
		c := chance.New(seed)
		in := worldInput(c)
		out := Compile(in)
		for range 60 {
			node, p := chance.Pick(c, in.Inventory.Nodes...), c.Packet()
			got := newJudge(out.Rulesets[node.Name], model.Facts{}, Local{Names: chance.Names()}, noImplied).decide(p)
			want := oracle{in: in, node: node}.decide(p)
			met[got.Verdict]++
			if got.Verdict != want.Verdict || !sameRule(got.Rule, want.Rule) || !slices.Equal(got.Logged, want.Logged) {
				t.Fatalf("seed %d: node %s, %+v\ngot  %+v\nwant %+v\n%s", seed, node.Name, p, got, want, whole(out.Rulesets[node.Name]))
			}
		}
	}
	for _, action := range []model.Action{model.Pass, model.Allow, model.Deny, model.Reject} {
		if met[action] < 100 {
			t.Errorf("only %d packets met %q", met[action], action)
		}
	}
}

func sameRule(got, want string) bool {
	return got == want || want == "service" && strings.HasPrefix(got, "service/")
}

// Each rule can match some packet, as far as its sets are not empty, and each
// set is named.
func TestRulesetsAreMinimal(t *testing.T) {
	for seed := range uint64(seeds) {
		in := worldInput(chance.New(seed))
		for name, rs := range Compile(in).Rulesets {
			used := map[model.SetID]bool{KnownSet: active(&rs.Host.Ingress)}
			for i, chain := range []*model.Chain{&rs.Host.Ingress, &rs.Host.Egress} {
				for j := range chain.Rules {
					for _, id := range chain.Rules[j].Peers {
						used[id] = true
					}
					if !reachable(rs, model.Directions[i], j) {
						t.Fatalf("seed %d: %s: rule %d never matches:\n%s", seed, name, j, Text(rs))
					}
				}
			}
			for id, s := range rs.Sets {
				if !used[id] {
					t.Fatalf("seed %d: nothing names set %s", seed, id)
				}
				if !isMinimal(s.Prefixes) {
					t.Fatalf("seed %d: set %s is not minimal: %v", seed, id, s.Prefixes)
				}
			}
		}
	}
}

// reachable gives each set an address of its own, so that it does not matter
// what is in it now, and looks for a port that gets to the rule.
func reachable(rs *model.Ruleset, d model.Direction, rule int) bool {
	abstract := &model.Ruleset{Host: rs.Host, Sets: map[model.SetID]model.Set{}}
	others := []netip.Addr{addr("203.0.113.250")}
	for id := range rs.Sets {
		a := netip.AddrFrom4([4]byte{203, 0, 113, byte(len(others))})
		abstract.Sets[id] = model.Set{Prefixes: hosts(a)}
		others = append(others, a)
	}
	chain := rs.Host.Ingress
	if d == model.Egress {
		chain = rs.Host.Egress
	}
	j := newJudge(abstract, model.Facts{}, Local{}, noImplied)
	until := model.Chain{Rules: chain.Rules[:rule+1]}
	for _, protocol := range []model.Protocol{model.TCP, model.UDP, model.ICMP, model.SCTP} {
		for port := range uint16(16) {
			for _, other := range others {
				end := netip.AddrPortFrom(other, port)
				got := j.chain(&until, model.Packet{Direction: d, Protocol: protocol, From: end, To: end})
				if id := chain.Rules[rule].ID; got.Rule == id || slices.Contains(got.Logged, id) {
					return true
				}
			}
		}
	}
	return false
}
