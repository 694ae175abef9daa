package main

import (
	"time"

	"github.com/kedge-io/kedge/tests/traffic/bed"
	"github.com/kedge-io/kedge/tests/traffic/flow"
)

const tableDelay = "5. round trips of a pod at 10 Mbit/s, ms"

// delay sends echoes out of a pod that is saturated by TCP, in both directions and with one
// and four streams, of kedge and of the plugin.
func (b *bench) delay() {
	pod := bed.Pod("slow", b.fast, "app")
	for _, dir := range []string{"egress", "ingress"} {
		pod.Annotations[prefix+dir+"-max"] = "10M"
	}
	pod = b.Create(b.t, pod)[0]
	defer b.delete(pod)
	subjects := []struct {
		name string
		end  bed.End
	}{{"kedge", b.Container(pod, 0)}, {"plugin", b.plain.end(0)}}
	for range b.o.repeat {
		for _, s := range subjects {
			if s.name == "plugin" {
				b.plain.limit(0, 10)
			}
			idle := b.must("echoes", s.end.Run(b.t.Context(), b.echoes(2, 0)))
			b.roundTrips("idle", s.name, idle)
			directions(func(direction string, in bool) {
				b.roundTrips("1 stream "+direction, s.name, b.saturated(s.end, in, 1))
				b.roundTrips("4 streams "+direction, s.name, b.saturated(s.end, in, 4))
			})
			if s.name == "plugin" {
				b.plain.unlimit(0)
			}
		}
	}
}

func (b *bench) echoes(seconds float64, priority int) flow.Job {
	return flow.Job{Kind: flow.Echo, To: b.FarEcho(), Seconds: seconds, Size: 64, Interval: 10 * time.Millisecond, Priority: priority}
}

// saturated are the echoes of a pod beside a transfer, once that has used up any burst: the
// plugin's lasts for seconds.
func (b *bench) saturated(end bed.End, in bool, streams int) flow.Result {
	const warm, length = 2, 3
	done := make(chan flow.Result, 1)
	go func() {
		done <- end.Run(b.t.Context(), flow.Job{Kind: flow.TCP, To: b.Far(), In: in, Streams: streams, Seconds: warm + length})
	}()
	wait(warm * time.Second)
	r := b.must("echoes", end.Run(b.t.Context(), b.echoes(length-0.5, 0)))
	b.must("transfer", <-done)
	return r
}

func (b *bench) roundTrips(row, column string, r flow.Result) {
	ms := func(d time.Duration) float64 { return float64(d) / 1e6 }
	b.add(tableDelay, row, column+" p50", ms(r.Delays.P50))
	b.add(tableDelay, row, column+" p99", ms(r.Delays.P99))
	b.add(tableDelay, row, column+" lost, %", 100*float64(r.Lost())/float64(max(1, r.Sent)))
}
