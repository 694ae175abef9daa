package plan

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// FuzzMake goes from node to node that random numbers make up: each plan is
// valid, is made again from its own assignment, and keeps promises.
func FuzzMake(f *testing.F) {
	for seed := range uint64(30) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var prev Assignment
		for range 5 {
			node := randomNode(rng)
			p, next, _ := Make(node, prev)
			if err := p.Validate(); err != nil {
				t.Fatalf("%v\n%s", err, p)
			}
			text, err := json.Marshal(next)
			var back Assignment
			if err == nil {
				err = json.Unmarshal(text, &back)
			}
			if err != nil || !back.Equal(next) {
				t.Fatalf("assignment %+v comes back as %+v, %v", next, back, err)
			}
			rng.Shuffle(len(node.Pods), func(i, j int) { node.Pods[i], node.Pods[j] = node.Pods[j], node.Pods[i] })
			again, same, _ := Make(node, back)
			if again.String() != p.String() || !same.Equal(next) {
				t.Fatalf("the same node is planned otherwise:\n%s\nbefore:\n%s", again, p)
			}
			promises(t, node, p, next)
			prev = next
		}
	})
}

func promises(t *testing.T, node model.Node, p Plan, a Assignment) {
	for _, d := range model.Directions {
		var sum bitrate.Rate
		for _, pod := range node.Pods {
			sum += a.Pods[pod.UID].Granted[d]
		}
		// What is kept for a rate that comes back is not promised now.
		if capacity := Capacity(node.Uplinks[0], d); capacity > 0 && sum > capacity {
			t.Fatalf("%s of %s are promised\n%s", sum, capacity, p)
		}
	}
}

func randomNode(rng *rand.Rand) model.Node {
	rates := []bitrate.Rate{0, bitrate.Mbit, 10 * bitrate.Mbit, 100 * bitrate.Mbit, bitrate.Gbit}
	pick := func() bitrate.Rate { return rates[rng.IntN(len(rates))] }
	limits := func() (out model.Limits) {
		for _, d := range model.Directions {
			out[d] = model.Limit{Min: pick() / 7, Max: pick()}
			if out[d].Max > 0 {
				out[d].Min = min(out[d].Min, out[d].Max)
			}
		}
		return out
	}
	var node model.Node
	for i := range 1 + rng.IntN(2) {
		node.Uplinks = append(node.Uplinks, model.Uplink{Device: fmt.Sprint("eth", i), Rates: [2]bitrate.Rate{pick(), pick()}, Reserve: [2]bitrate.Rate{pick(), 0}})
	}
	for i := range rng.IntN(20) {
		p := model.Pod{UID: fmt.Sprint("uid", rng.IntN(3)*100+i), Namespace: "ns", Name: fmt.Sprint("p", i), Limits: limits(),
			Priority: model.Priority(rng.IntN(7)), HostNetwork: rng.IntN(4) == 0, Link: 1 + i}
		for c := range rng.IntN(4) {
			ctr := model.Container{Name: fmt.Sprint("c", c), Cgroup: uint64(1000*i + c + 1), Ports: []model.Port{{Protocol: 6, Number: uint16(80 + c/2)}}}
			if rng.IntN(2) == 0 {
				ctr.Limits = limits()
			}
			if rng.IntN(3) == 0 {
				ctr.Cgroup = 0
			}
			p.Containers = append(p.Containers, ctr)
		}
		node.Pods = append(node.Pods, p)
	}
	return node
}
