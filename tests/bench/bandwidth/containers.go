package main

import (
	"time"

	"github.com/kedge-io/kedge/tests/traffic/bed"
	"github.com/kedge-io/kedge/tests/traffic/flow"
)

const tableContainers = "2. two containers, Mbit/s on the line"

// containers has two of a pod, with 10 and 30 Mbit/s, both greedy, below ceilings of the pod
// that leave both alone (50), and that do not (25).
func (b *bench) containers() {
	const seconds = 4
	pod := bed.Pod("pair", b.fast, "slow", "quick")
	for _, dir := range []string{"egress", "ingress"} {
		pod.Annotations[prefix+dir+"-max"] = "50M"
		pod.Annotations[prefix+"container.slow."+dir+"-max"] = "10M"
		pod.Annotations[prefix+"container.quick."+dir+"-max"] = "30M"
	}
	pod = b.Create(b.t, pod)[0]
	defer b.delete(pod)
	for range b.o.repeat {
		for _, limit := range []string{"50M", "25M"} {
			b.Annotate(b.t, pod, map[string]string{prefix + "egress-max": limit, prefix + "ingress-max": limit})
			wait(time.Second)
			directions(func(direction string, in bool) {
				job := flow.Job{Kind: flow.TCP, To: b.Far(), In: in, Streams: 2, Seconds: seconds}
				r := bed.Whole(b.t, bed.Task{End: b.Container(pod, 0), Job: job}, bed.Task{End: b.Container(pod, 1), Job: job})
				row := "ceiling of the pod " + limit + ", " + direction
				both := 0.0
				for i, name := range []string{"container with 10", "container with 30"} {
					mean := r[i].Mean(0, seconds*time.Second) * frames / mega
					b.add(tableContainers, row, name, mean)
					both += mean
				}
				b.add(tableContainers, row, "both", both)
			})
		}
	}
}
