//go:build namespace

package agree

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
	"github.com/kedge-io/kedge/edgefw/plan/chance"
	"github.com/kedge-io/kedge/internal/testx"
)

var (
	worlds = flag.Int("worlds", 6, "how many random worlds are tried")
	first  = flag.Uint64("seed", 1, "the seed of the first world")
)

// shots are the packets for a world; after the n-th change there are n+1 times
// fewer.
const shots, changes = 240, 5

func TestTheKernelDoesWhatDecideSays(t *testing.T) {
	tryWorlds(t, false, "PREROUTING", "OUTPUT")
}

// Here packets go on to be forwarded and to the machine, and so through network
// policies, too.
func TestTheKernelDoesWhatDecideSaysOfPods(t *testing.T) {
	tryWorlds(t, true, "INPUT", "FORWARD", "OUTPUT")
}

func tryWorlds(t *testing.T, through bool, chains ...string) {
	testx.NeedRoot(t)
	for _, v := range []apply.Variant{apply.Legacy, apply.NFT} {
		t.Run(string(v), func(t *testing.T) {
			b := newBed(t, v, chains...)
			for n := uint64(0); n < uint64(*worlds) && !t.Failed(); n++ {
				d := &draw{Chance: chance.New(*first + n), used: map[key]bool{}, through: through}
				b.world(fmt.Sprintf("seed %d", *first+n), d)
			}
			t.Logf("the kernel was changed so often: %v", b.ways)
		})
	}
}

// world sends packets through the rules of one node of a random world, and again
// after each of some changes.
func (b *bed) world(seed string, d *draw) {
	w := d.World()
	name, compiler := chance.Pick(d.Chance, w.Inventory.Nodes...).Name, plan.Compiler{}
	wish := apply.Wish{Facts: d.facts(name == chance.Name("n", 0)), Local: local()}
	for step := range changes {
		compiled := compiler.Compile(plan.Input{Firewalls: w.Firewalls, Inventory: w.Inventory, Known: w.Known})
		if wish.Ruleset = compiled.Rulesets[name]; wish.Ruleset == nil {
			return // the node is gone
		}
		if d.through {
			wish.Ruleset = d.withPods(wish.Ruleset)
		}
		result, err := b.kernel.Apply(context.Background(), wish)
		if err != nil {
			b.t.Fatalf("%s: %v", seed, err)
		}
		b.ways[result.Way]++
		b.shoot(fmt.Sprintf("%s, change %d", seed, step), d, wish, shots/(step+1))
		w = d.Change(w)
	}
}

// shoot sends some packets and compares.
func (b *bed) shoot(where string, d *draw, wish apply.Wish, n int) {
	e := newExpectation(b.tallies())
	host := &model.Ruleset{Host: wish.Ruleset.Host, Sets: wish.Ruleset.Sets}
	for range n {
		p := d.packet()
		e.expect(p, plan.Decide(wish.Ruleset, wish.Facts, wish.Local, p), plan.Decide(host, wish.Facts, wish.Local, p))
		if err := b.send(p); err != nil {
			b.t.Fatalf("%s: sending %s: %v", where, words(p), err)
		}
	}
	b.compare(where, wish, e)
	clear(d.used)
}

// compare waits until the kernel has done all that was expected.
func (b *bed) compare(where string, w apply.Wish, e *expectation) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	err := testx.Poll(ctx, func(context.Context) error { return e.differs(b) })
	if err != nil {
		b.t.Errorf("%s: %v\n%s%+v\n%s", where, err, plan.Text(w.Ruleset), w.Facts, b.node.Run(b.saved))
	}
	b.mu.Lock()
	clear(b.seen)
	b.mu.Unlock()
}

// tallies are the counters of the host's rules. What the kernel says by itself
// about its neighbours is not counted.
func (b *bed) tallies() map[string]int {
	counters, err := b.kernel.Counters()
	if err != nil {
		b.t.Fatal(err)
	}
	all := map[string]int{}
	for _, c := range counters {
		if counted(c.Rule) && c.Packets > 0 {
			all[c.Rule] = int(c.Packets)
		}
	}
	return all
}

func counted(rule string) bool {
	return rule != "" && rule != "implied/neighbours" && rule != "implied/established" && !strings.HasPrefix(rule, "policy/")
}

// expectation is what is to become of packets.
type expectation struct {
	packets map[key]model.Packet
	by      map[key]model.Decision
	tallies map[string]int
}

func newExpectation(tallies map[string]int) *expectation {
	return &expectation{packets: map[key]model.Packet{}, by: map[key]model.Decision{}, tallies: tallies}
}

// expect takes what becomes of a packet, and what the host's rules do with it,
// which policies come after.
func (e *expectation) expect(p model.Packet, d, host model.Decision) {
	e.packets[keyOf(p)], e.by[keyOf(p)] = p, d
	for _, rule := range append(host.Logged, host.Rule) {
		if counted(rule) {
			e.tallies[rule]++
		}
	}
}

// differs names all that is not as expected.
func (e *expectation) differs(b *bed) error {
	var wrong []string
	b.mu.Lock()
	for k, p := range e.packets {
		if got, want := verdict(b.seen, k), e.by[k]; got != passing(want.Verdict) {
			wrong = append(wrong, fmt.Sprintf("%s: %s, and Decide says %+v", words(p), got, want))
		}
	}
	b.mu.Unlock()
	got := b.tallies()
	for rule, n := range e.tallies {
		if got[rule] != n {
			wrong = append(wrong, fmt.Sprintf("rule %s met %d packets, Decide says %d", rule, got[rule], n))
		}
	}
	for rule, n := range got {
		if _, ok := e.tallies[rule]; !ok {
			wrong = append(wrong, fmt.Sprintf("rule %s met %d packets, Decide says none", rule, n))
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%d disagreements:\n%s", len(wrong), strings.Join(wrong, "\n"))
	}
	return nil
}

// verdict is what the witness saw.
func verdict(seen map[key]uint32, k key) string {
	mark, ok := seen[k]
	switch {
	case !ok:
		return "dropped"
	case mark == model.RejectMark:
		return "refused"
	default:
		return "let through"
	}
}

func passing(a model.Action) string {
	switch a {
	case model.Deny:
		return "dropped"
	case model.Reject:
		return "refused"
	default:
		return "let through"
	}
}

func words(p model.Packet) string {
	return fmt.Sprintf("%s %s %s > %s type %d by %q mark %#x", p.Direction, p.Protocol, p.From, p.To, p.ICMPType, p.Link, p.Mark)
}
