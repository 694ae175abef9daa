package main

import (
	"fmt"
	"time"

	"github.com/kedge-io/kedge/tests/lab/cluster"
	"github.com/kedge-io/kedge/tests/traffic/bed"
	"github.com/kedge-io/kedge/tests/traffic/flow"
	corev1 "k8s.io/api/core/v1"
)

const (
	tableControl = "4. the control class, 100 Mbit/s, 10 ms there and back"
	greedyPods   = 40
	greedyHosts  = 10
	// controlPriority is the socket priority of the control class (TC_PRIO_CONTROL), and
	// controlRate what it is guaranteed on a line of 100 Mbit/s.
	controlPriority = 7
	controlRate     = 2 * mega
)

// control has a process of the host send what belongs to the control class, alone and
// beside 50 greedy pods of which 10 are in the network of the host.
func (b *bench) control() {
	var pods []*corev1.Pod
	for i := range greedyPods {
		pods = append(pods, bed.Pod(fmt.Sprint("w", i), b.thin, "app"))
	}
	for i := range greedyHosts {
		pods = append(pods, bed.HostPod(fmt.Sprint("h", i), b.thin, i))
	}
	pods = b.Create(b.t, pods...)
	defer b.delete(pods...)
	for range b.o.repeat {
		directions(func(direction string, in bool) { b.controlRow("alone, "+direction, in, 4) })
		directions(func(direction string, in bool) {
			lease := b.WatchLease(b.t, b.thin)
			done := b.greed(pods, in, 12)
			wait(2 * time.Second)
			row := "beside 50 greedy pods, " + direction
			b.controlRow(row, in, 8)
			var sum, most float64
			for i, r := range <-done {
				b.must("greedy "+pods[i].Name, r)
				mean := r.Mean(2*time.Second, 10*time.Second)
				sum, most = sum+mean, max(most, mean)
			}
			b.add(tableControl, row, "greediest of them", most/mega)
			b.add(tableControl, row, "greedy together, payload Mbit/s", sum/mega)
			gap, err := lease.Stop()
			cluster.Must(b.t, err)
			b.add(tableControl, row, "longest time without a lease, s", gap.Seconds())
		})
	}
}

// greed has every third pod send datagrams, at five times its share of the line, and the
// others as much as TCP takes. Inwards all use TCP: what comes in has crossed the line
// before the node sees it, so nothing at this end rules a sender that heeds no loss.
func (b *bench) greed(pods []*corev1.Pod, in bool, seconds float64) <-chan []flow.Result {
	var tasks []bed.Task
	for i, p := range pods {
		job := flow.Job{Kind: flow.TCP, To: b.Far(), In: in, Seconds: seconds}
		if i%3 == 0 && !in {
			job = flow.Job{Kind: flow.UDP, To: b.Far(), In: in, Seconds: seconds, Rate: 10 * mega, Size: 1200}
		}
		tasks = append(tasks, bed.Task{End: b.Container(p, 0), Job: job})
	}
	done := make(chan []flow.Result, 1)
	go func() { done <- bed.Together(b.t, tasks...) }()
	return done
}

// controlRow sends echoes and, in that direction, as much as is guaranteed.
func (b *bench) controlRow(row string, in bool, seconds float64) {
	const size = 1000
	end := b.HostEnd(b.thinHost())
	// The witness is a process of the other node: it shares only the processors, and the way
	// beyond the line.
	r := bed.Together(b.t,
		bed.Task{End: end, Job: b.echoes(seconds, controlPriority)},
		bed.Task{End: b.HostEnd(b.Node(b.fast).Host), Job: b.echoes(seconds, 0)},
		bed.Task{End: end, Job: flow.Job{
			Kind: flow.UDP, To: b.Far(), In: in, Seconds: seconds, Size: size, Priority: controlPriority,
			Rate: int64(controlRate / datagrams(size)),
		}})
	for _, one := range r {
		b.must(row, one)
	}
	ms := func(d time.Duration) float64 { return float64(d) / 1e6 }
	b.add(tableControl, row, "round trip p50, ms", ms(r[0].Delays.P50))
	b.add(tableControl, row, "round trip p99, ms", ms(r[0].Delays.P99))
	b.add(tableControl, row, "p99 of a node without load, ms", ms(r[1].Delays.P99))
	b.add(tableControl, row, "echoes lost, %", 100*float64(r[0].Lost())/float64(max(1, r[0].Sent)))
	b.add(tableControl, row, "its floor, % that arrived", 100*float64(r[2].Received)/float64(max(1, r[2].Sent)))
}
