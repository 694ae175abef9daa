//go:build namespace

package shape

import (
	"context"
	"log/slog"
	"testing"

	"github.com/kedge-io/kedge/agent/bandwidth/plan"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// dieAfter lets a new Kernel die after so many changes, and tells whether it
// did.
func (n *node) dieAfter(changes int, p plan.Plan) bool {
	n.t.Helper()
	died := false
	k := New(slog.New(slog.DiscardHandler), programs(n.t))
	defer k.Close()
	k.dial = func() (*conn, error) {
		c, err := dial()
		if err == nil {
			left := changes
			c.dead = func(message) bool { left--; died = died || left < 0; return died }
		}
		return c, err
	}
	n.Do(func() {
		if _, err := k.Apply(context.Background(), p); (err != nil) != died {
			n.t.Errorf("after %d changes: %v", changes, err)
		}
	})
	return died
}

// classesBeforeFilters fails if a filter is there without the tree it leads to.
func (n *node) classesBeforeFilters() {
	n.t.Helper()
	n.Do(func() {
		have, err := readNow()
		if err != nil {
			n.t.Error(err)
			return
		}
		for _, f := range have.filters {
			if t := have.trees[f.To]; !t.ours || len(t.classes) == 0 {
				n.t.Errorf("filter %v leads to a tree that is not there", f.Filter)
			}
		}
	})
}

func TestCrashAtAnyPointIsMended(t *testing.T) {
	n := newNode(t, 3)
	empty := plan.Plan{}
	two := n.limits(100*bitrate.Mbit, 10*bitrate.Mbit, 20*bitrate.Mbit)
	other := n.limits(200*bitrate.Mbit, 5*bitrate.Mbit, 30*bitrate.Mbit, 40*bitrate.Mbit)
	for _, way := range []struct {
		name     string
		from, to plan.Plan
	}{{"install", empty, two}, {"change", two, other}, {"shrink", other, two}, {"remove", other, empty}} {
		t.Run(way.name, func(t *testing.T) {
			for changes, died := 0, true; died; changes++ {
				n.apply(way.from)
				died = n.dieAfter(changes, way.to)
				n.classesBeforeFilters()
				n.apply(way.to)
				n.wants(way.to)
			}
		})
	}
}
