package apply

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/kedge-io/kedge/edgefw/apply/render"
	"github.com/kedge-io/kedge/edgefw/model"
)

// Counter is what a rule has met since its generation is there. With rules whose
// established flows are not asked again, these are packets that begin flows.
type Counter struct {
	// Rule is the ID, "implied/NAME" or "default/FIREWALL".
	Rule string
	// Packets and Bytes matched the rule, Limited of the packets were dropped
	// since they were more than its limits allow.
	Packets, Bytes, Limited uint64
}

// Counters are those of the present generation, of both families together, sorted
// by rule.
func (k *Kernel) Counters() ([]Counter, error) {
	var all []Counter
	for _, f := range k.families {
		if f.program.main == "" || f.idle() {
			continue
		}
		text, err := f.program.dump(context.Background(), "mangle", true)
		if err != nil {
			return nil, err
		}
		all = append(all, k.counters(text, parse(text).generation().Chain(""))...)
		all = append(all, k.counters(text, render.KeptPrefix)...)
	}
	return sum(all), nil
}

// counters reads those of chains out of what iptables-save prints.
func (k *Kernel) counters(text, prefix string) []Counter {
	var all []Counter
	for line := range strings.Lines(text) {
		numbers, rest := counters(strings.TrimSpace(line))
		if !strings.HasPrefix(rest, "-A "+prefix) {
			continue
		}
		if c, ok := k.counter(numbers, rest); ok {
			all = append(all, c)
		}
	}
	return sum(all)
}

func (k *Kernel) counter(numbers, rule string) (Counter, bool) {
	packets, bytes, _ := strings.Cut(numbers, ":")
	p, _ := strconv.ParseUint(packets, 10, 64)
	b, _ := strconv.ParseUint(bytes, 10, 64)
	if word, ok := commented(rule, render.Comment); ok {
		return Counter{Rule: k.ruleOf(word), Packets: p, Bytes: b}, true
	}
	if word, ok := commented(rule, render.Over); ok {
		return Counter{Rule: k.ruleOf(word), Limited: p}, true
	}
	return Counter{}, false
}

func commented(rule, prefix string) (word string, ok bool) {
	_, rest, ok := strings.Cut(rule, `--comment "`+prefix)
	if !ok {
		return "", false
	}
	word, _, ok = strings.Cut(rest, `"`)
	return word, ok
}

// sum adds up what is counted under the same rule. It is nil for nothing.
func sum(list []Counter) []Counter {
	slices.SortStableFunc(list, func(a, b Counter) int { return strings.Compare(a.Rule, b.Rule) })
	var all []Counter
	for _, c := range list {
		if n := len(all); n > 0 && all[n-1].Rule == c.Rule {
			all[n-1].Packets += c.Packets
			all[n-1].Bytes += c.Bytes
			all[n-1].Limited += c.Limited
			continue
		}
		all = append(all, c)
	}
	return all
}

// remember learns which words in the kernel stand for which rule.
func (k *Kernel) remember(w Wish, t *render.Table) {
	for word, entry := range t.Logged {
		k.words.Store(word, entry)
	}
	for _, c := range []model.Chain{w.Ruleset.Host.Ingress, w.Ruleset.Host.Egress} {
		for _, r := range c.Rules {
			k.rememberLong(r.ID)
		}
	}
	for _, rules := range [][]model.PodRule{w.Ruleset.Pods.Ingress, w.Ruleset.Pods.Egress} {
		for _, r := range rules {
			k.rememberLong(r.ID)
		}
	}
}

func (k *Kernel) rememberLong(id string) {
	if word := render.Word(id); word != id {
		k.words.Store(word, render.Entry{Rule: id})
	}
}

func (k *Kernel) ruleOf(word string) string {
	if entry, ok := k.words.Load(word); ok {
		return entry.(render.Entry).Rule
	}
	return word
}
