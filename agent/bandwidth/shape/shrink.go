package shape

import (
	"fmt"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/internal/lifecycle"
)

// With a class goes what waits in it. Since nothing leads there any more it is
// empty soon: queues are as long as their class needs for 20 ms. One that must
// wait for others longer than drainTime is removed nevertheless.
const (
	drainTime = 100 * time.Millisecond
	drainLook = 2 * time.Millisecond
)

// shrinkTrees removes classes that are not wanted.
func (a *applying) shrinkTrees() error {
	var out []message
	for _, want := range a.want.Devices {
		have := a.have.trees[want.Name]
		minors := surplus(have, want)
		if len(minors) == 0 {
			continue
		}
		a.again = a.again || late(have, want)
		if err := a.drain(have.index, minors); err != nil {
			return fmt.Errorf("looking at queues of %s: %w", want.Name, err)
		}
		for _, minor := range minors {
			out = append(out, removeClass(have.link, minor))
		}
	}
	if err := a.send(out); err != nil {
		return fmt.Errorf("removing classes: %w", err)
	}
	return nil
}

// drain waits until classes are empty.
func (a *applying) drain(device int, minors []uint16) error {
	leaving := map[uint16]bool{}
	for _, m := range minors {
		leaving[m] = true
	}
	for end := time.Now().Add(drainTime); time.Now().Before(end); {
		waiting := false
		err := a.conn.dump(unix.RTM_GETTCLASS, nl.TcMsg{Ifindex: int32(device)}, func() {}, func(tc nl.TcMsg, at attrs) {
			c := decodeCounter("", uint16(tc.Handle), at.nested(nl.TCA_STATS2))
			waiting = waiting || int(tc.Ifindex) == device && leaving[c.Minor] && c.Backlog > 0
		})
		if err != nil || !waiting || !lifecycle.Pause(a.ctx, drainLook) {
			return err
		}
	}
	return nil
}
