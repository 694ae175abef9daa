package edgefw

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kedge-io/kedge/edgefw/apply"
)

// counts are sums over everything that happened since the process began.
type counts struct {
	mu sync.Mutex
	// past are the packets of generations that are gone, last what the present
	// one had when it was looked at last.
	past, last map[string]apply.Counter

	rollbacks, restorations, applies uint64
	applyTime                        time.Duration
}

func newCounts() *counts {
	return &counts{past: map[string]apply.Counter{}, last: map[string]apply.Counter{}}
}

// applied takes in the last counters of a generation that was replaced.
func (c *counts) applied(r apply.Result, w apply.Wish) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Way != apply.Nothing {
		c.applies++
		c.applyTime += r.Took
	}
	if r.Former == nil {
		return
	}
	for _, f := range r.Former {
		c.past[f.Rule] = plus(c.past[f.Rule], f)
	}
	clear(c.last)
	// Rules that are gone are not counted on.
	there := map[string]bool{}
	for _, rule := range rulesOf(w) {
		there[rule] = true
	}
	maps.DeleteFunc(c.past, func(rule string, _ apply.Counter) bool { return !there[rule] && !isFixed(rule) })
}

// sum adds the present generation's to those of the past. A counter that went
// back is one that somebody flushed.
func (c *counts) sum(present []apply.Counter) []apply.Counter {
	c.mu.Lock()
	defer c.mu.Unlock()
	total := maps.Clone(c.past)
	for _, p := range present {
		if before := c.last[p.Rule]; p.Packets < before.Packets {
			c.past[p.Rule] = plus(c.past[p.Rule], before)
			total[p.Rule] = c.past[p.Rule]
		}
		c.last[p.Rule] = p
		total[p.Rule] = plus(total[p.Rule], p)
	}
	return slices.SortedFunc(maps.Values(total), func(a, b apply.Counter) int { return cmp.Compare(a.Rule, b.Rule) })
}

func plus(a, b apply.Counter) apply.Counter {
	b.Packets += a.Packets
	b.Bytes += a.Bytes
	b.Limited += a.Limited
	return b
}

// isFixed tells whether a word is not that of a rule that somebody wrote.
func isFixed(rule string) bool {
	for _, prefix := range []string{"implied/", "default/", "policy/"} {
		if strings.HasPrefix(rule, prefix) {
			return true
		}
	}
	return false
}

func (c *counts) rolledBack() { c.add(&c.rollbacks) }

func (c *counts) restored() { c.add(&c.restorations) }

func (c *counts) add(n *uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*n++
}
