package plan

import (
	"fmt"
	"testing"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
)

// BenchmarkMake plans again for 200 pods of which each has limits and two
// containers with limits.
func BenchmarkMake(b *testing.B) {
	node := model.Node{Uplinks: []model.Uplink{line("eth0", 1000*mbit)}}
	for i := range 200 {
		p := pod(fmt.Sprintf("pod-%d", i), i+1, both(mbit, 20*mbit))
		for c := range 2 {
			p.Containers = append(p.Containers, model.Container{Name: fmt.Sprintf("c%d", c), Cgroup: uint64(1000 + 2*i + c), Limits: both(0, 10*mbit)})
		}
		node.Pods = append(node.Pods, p)
	}
	_, assigned, _ := Make(node, Assignment{})
	b.ReportAllocs()
	for b.Loop() {
		Make(node, assigned)
	}
}
