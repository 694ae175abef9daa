package main

import (
	"fmt"
	"time"

	"github.com/kedge-io/kedge/tests/traffic/bed"
	"github.com/kedge-io/kedge/tests/traffic/flow"
	corev1 "k8s.io/api/core/v1"
)

const (
	tableGuarantees = "3. guarantees on a line of 100 Mbit/s, Mbit/s on the line"
	tableBorrowing  = "3. seconds until the others have 90 % of what an idle pod leaves"
	pictureShare    = "share"
)

// guarantees has three pods with 50, 30 and 10 Mbit/s greedy; the second one ends half way.
func (b *bench) guarantees() {
	const whole, half = 12 * time.Second, 6 * time.Second
	rates := []int{50, 30, 10}
	var pods []*corev1.Pod
	for _, rate := range rates {
		p := bed.Pod(fmt.Sprint("g", rate), b.thin, "app")
		for _, dir := range []string{"egress", "ingress"} {
			p.Annotations[prefix+dir+"-min"] = fmt.Sprintf("%dM", rate)
		}
		pods = append(pods, p)
	}
	pods = b.Create(b.t, pods...)
	defer b.delete(pods...)
	for range b.o.repeat {
		directions(func(direction string, in bool) {
			var tasks []bed.Task
			for i, p := range pods {
				job := flow.Job{Kind: flow.TCP, To: b.Far(), In: in, Streams: 4, Seconds: whole.Seconds()}
				if i == 1 {
					job.Seconds = half.Seconds()
				}
				tasks = append(tasks, bed.Task{End: b.Container(p, 0), Job: job})
			}
			r := bed.Whole(b.t, tasks...)
			b.shares(direction, rates, r, half, whole)
		})
	}
}

func (b *bench) shares(direction string, rates []int, r []flow.Result, half, whole time.Duration) {
	for i, rate := range rates {
		name := fmt.Sprintf("guarantee %d", rate)
		b.add(tableGuarantees, "all greedy, "+direction, name, r[i].Mean(time.Second, half)*frames/mega)
		b.add(tableGuarantees, "the second idle, "+direction, name, r[i].Mean(half+time.Second, whole)*frames/mega)
		if direction == out {
			b.keep(pictureShare, name, r[i].Bins, frames)
		}
	}
	b.add(tableBorrowing, "the second pod ends", direction, borrowed(r[0], r[2], half, whole).Seconds())
}

// borrowed is how long after half the two have together 90 % of what they have at the
// end, in any 300 ms from then on.
func borrowed(a, c flow.Result, half, whole time.Duration) time.Duration {
	const window = 3 * flow.Bin
	final := a.Mean(half+2*time.Second, whole) + c.Mean(half+2*time.Second, whole)
	for at := half; at < whole-window; at += flow.Bin {
		if a.Mean(at, at+window)+c.Mean(at, at+window) >= 0.9*final {
			return at - half
		}
	}
	return whole - half
}
