package egress

import (
	"context"
	"maps"
	"net/netip"

	"github.com/kedge-io/kedge/tunnel"
)

// Ranges returns which node has which pod range, and a channel that is closed
// when that may have changed. It waits until all nodes were seen; the error is
// that of ctx.
func (e *Egress) Ranges(ctx context.Context) (map[netip.Prefix]tunnel.NodeName, <-chan struct{}, error) {
	if err := e.wait(ctx); err != nil {
		return nil, nil, err
	}
	ranges, changed := e.table.all()
	return ranges, changed, nil
}

func (t *Table) all() (map[netip.Prefix]tunnel.NodeName, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ranges == nil {
		t.derive()
	}
	if t.changed == nil {
		t.changed = make(chan struct{})
	}
	return maps.Clone(t.ranges), t.changed
}
