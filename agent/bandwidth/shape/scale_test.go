//go:build namespace

package shape

import (
	"fmt"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/kedge-io/kedge/agent/bandwidth/plan"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// BenchmarkPods measures what 200 pods cost: all at once, looking at them when
// nothing has changed, a change of one, and removing all but one.
func BenchmarkPods(b *testing.B) {
	const pods = 200
	n := newNode(b, 0)
	ceilings := make([]bitrate.Rate, pods)
	for i := range ceilings {
		ceilings[i] = 10 * bitrate.Mbit
		n.Do(func() {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = fmt.Sprintf("veth%d", i)
			if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: fmt.Sprintf("pod%d", i)}); err != nil {
				b.Fatal(err)
			}
		})
	}
	first, all := n.limits(bitrate.Gbit, ceilings[0]), n.limits(bitrate.Gbit, ceilings...)
	changed := n.limits(bitrate.Gbit, append([]bitrate.Rate{20 * bitrate.Mbit}, ceilings[1:]...)...)
	n.apply(first)
	step := func(name string, prepare, measured plan.Plan, things float64) {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				n.apply(prepare)
				b.StartTimer()
				n.apply(measured)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/things, "us/pod")
		})
	}
	step("install", first, all, pods)
	step("nothing", all, all, pods)
	step("change", all, changed, 1)
	step("remove", all, first, pods)
}
