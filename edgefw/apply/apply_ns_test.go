//go:build namespace

package apply_test

import (
	"context"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/edgefw/model"
)

func TestOnlyTheSetIsLetIn(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		b.answer("80")
		b.answer("81")
		if r := b.apply(friends(friend4, friend6)); r.Way != apply.Generation {
			t.Errorf("first apply was %q", r.Way)
		}
		b.expect(friend4, node4, "80", "open")
		b.expect(stranger4, node4, "80", "silent")
		b.expect(friend4, node4, "81", "silent")
		b.expect(friend6, node6, "80", "open")
		b.expect(stranger6, node6, "80", "silent")
		if o, err := b.kernel.Observe(context.Background()); err != nil || !o.Equal {
			t.Errorf("observed %+v, %v", o, err)
		}
	})
}

func TestChangesTakeTheCheapestWay(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		b.answer("80")
		steps := []struct {
			entries []string
			way     apply.Way
			open    bool
		}{
			{[]string{friend4}, apply.Generation, false},
			{[]string{friend4}, apply.Nothing, false},
			{[]string{friend4, stranger4}, apply.InPlace, true},
			{[]string{friend4}, apply.InPlace, false},
			{[]string{"192.0.2.2/31"}, apply.InPlace, true},
			{[]string{friend4}, apply.InPlace, false},
			{[]string{"198.51.100.0/24", stranger4}, apply.Swap, true},
			{[]string{"198.51.100.0/24"}, apply.InPlace, false},
			{nil, apply.InPlace, false},
			{[]string{stranger4, stranger6}, apply.InPlace, true},
		}
		for i, s := range steps {
			if r := b.apply(friends(s.entries...)); r.Way != s.way {
				t.Errorf("step %d: %v was %q, want %q", i, s.entries, r.Way, s.way)
			}
			want := map[bool]string{true: "open", false: "silent"}[s.open]
			b.expect(stranger4, node4, "80", want)
			if o, err := b.kernel.Observe(context.Background()); err != nil || !o.Equal {
				t.Errorf("step %d: observed %+v, %v", i, o, err)
			}
		}
	})
}

func TestAnotherProcessFindsNothingToDo(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		w := friends(friend4, friend6, "198.51.100.0/24")
		b.apply(w)
		b.apply(friends(friend4, friend6, "203.0.113.0/24")) // other slots
		before := b.rules()
		b.kernel = b.open(b.variant())
		if r := b.apply(friends(friend4, friend6, "203.0.113.0/24")); r.Way != apply.Nothing {
			t.Errorf("the same wish was fulfilled by %q", r.Way)
		}
		if after := b.rules(); stripped(after) != stripped(before) {
			t.Errorf("changed from\n%s\nto\n%s", before, after)
		}
		b.kernel = b.open(b.variant())
		if r := b.apply(friends(friend4)); r.Way != apply.Swap && r.Way != apply.InPlace {
			t.Errorf("another set was made by %q", r.Way)
		}
	})
}

func TestKernelPrintsWhatWasRendered(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		b.apply(everything())
		before := b.rules()
		b.kernel = b.open(b.variant())
		if r := b.apply(everything()); r.Way != apply.Nothing {
			t.Errorf("another process made it by %q; was\n%s\nis\n%s", r.Way, stripped(before), stripped(b.rules()))
		}
	})
}

func TestOtherVariantsRulesAreReplaced(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		b.answer("80")
		other := map[apply.Variant]apply.Variant{apply.Legacy: apply.NFT, apply.NFT: apply.Legacy}[b.which]
		if _, err := b.open(other).Apply(context.Background(), friends(friend4)); err != nil {
			t.Fatal(err)
		}
		b.apply(friends(stranger4)) // after somebody chose the other iptables
		b.expect(stranger4, node4, "80", "open")
		b.expect(friend4, node4, "80", "silent")
		if left := b.node.Run("iptables-" + string(other) + "-save 2>/dev/null; ip6tables-" + string(other) + "-save 2>/dev/null"); strings.Contains(left, "KEDGE") {
			t.Errorf("the other variant still has\n%s", left)
		}
	})
}

func TestJumpsAreOnce(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		w := friends(friend4)
		w.Ruleset.Host.Ingress.Default = model.Reject
		b.apply(w)
		iptables := "iptables-" + string(b.which)
		b.node.Run(iptables + " -t mangle -A PREROUTING -j KEDGE-FW-PRE")
		b.node.Run(iptables + "-save -t filter 2>/dev/null | " + iptables + "-restore --noflush")
		if r := b.apply(w); r.Way != apply.Generation {
			t.Errorf("a second jump was mended by %q", r.Way)
		}
		if r := b.apply(w); r.Way != apply.Nothing {
			t.Errorf("and again by %q\n%s", r.Way, b.rules())
		}
	})
}

func TestNothingIsLeft(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		b.node.Run("iptables -t mangle -N MINE; iptables -A INPUT -p tcp --dport 9 -j DROP")
		t.Cleanup(func() { b.node.Run("iptables -t mangle -X MINE; iptables -F INPUT") })
		before := stripped(b.rules())
		for _, remove := range map[string]func(){
			"wish for nothing": func() { b.apply(apply.Wish{Ruleset: &model.Ruleset{}}) },
			"Remove": func() {
				if err := b.kernel.Remove(context.Background()); err != nil {
					t.Error(err)
				}
			},
		} {
			w := friends(friend4)
			w.Ruleset.Host.Ingress.Default = model.Reject
			b.apply(w)
			remove()
			if after := stripped(b.rules()); after != before {
				t.Errorf("was\n%s\nis\n%s", before, after)
			}
		}
	})
}

// stripped leaves out comments, empty tables, and counters.
func stripped(rules string) string {
	var b strings.Builder
	for line := range strings.Lines(rules) {
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, ":") || strings.HasPrefix(line, "*") || strings.HasPrefix(line, "COMMIT") {
			continue
		}
		_, rest, ok := strings.Cut(line, "] ")
		if !ok {
			rest = line
		}
		b.WriteString(rest)
	}
	return b.String()
}
