package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/kedge-io/kedge/tests/traffic/bed"
	"github.com/kedge-io/kedge/tests/traffic/iperf"
	corev1 "k8s.io/api/core/v1"
)

const (
	tableAchieved = "1. payload, % of the rate that is set"
	tableFrames   = "1. frames on the line, % of the rate that is set"
	tableBurst    = "1. most in any one second, frames, ratio to the rate that is set"
	// udpSize is the payload of a datagram, and more than what is set is sent of them.
	udpSize = 1400
	udpOver = 1.25
	// pictureStart has the first seconds at 10 Mbit/s.
	pictureStart = "start"
)

// load is a kind of traffic.
type load struct {
	name    string
	streams int
	udp     bool
}

var loads = []load{{"TCP, 1 stream", 1, false}, {"TCP, 8 streams", 8, false}, {"UDP", 1, true}}

// target is somebody with a ceiling of both directions in Mbit/s.
type target struct {
	column string
	rate   int
	end    bed.End
}

// accuracy has pods and containers with ceilings send and receive with iperf3. Those up to
// 100 Mbit/s do so at the same time.
func (b *bench) accuracy() {
	targets, remove := b.limited([]int{1, 10, 100, 500})
	defer remove()
	low, high := split(targets, 500)
	for range b.o.repeat {
		for _, l := range loads {
			directions(func(name string, in bool) {
				b.iperfAll(low, l, name, in, 5)
				if !l.udp {
					b.iperfAll(high, l, name, in, 4)
					return
				}
				// So many datagrams of two at once are too much for two processors.
				for _, t := range high {
					b.iperfAll([]target{t}, l, name, in, 3)
				}
			})
		}
		directions(b.pluginAccuracy)
	}
}

func split(all []target, from int) (low, high []target) {
	for _, t := range all {
		if t.rate < from {
			low = append(low, t)
		} else {
			high = append(high, t)
		}
	}
	return low, high
}

// limited makes for each rate a pod with a ceiling and one whose container has it.
func (b *bench) limited(rates []int) (targets []target, remove func()) {
	var pods []*corev1.Pod
	for _, rate := range rates {
		text := fmt.Sprintf("%dM", rate)
		p, c := bed.Pod(fmt.Sprint("p", rate), b.fast, "app"), bed.Pod(fmt.Sprint("c", rate), b.fast, "app")
		for _, dir := range []string{"egress", "ingress"} {
			p.Annotations[prefix+dir+"-max"] = text
			c.Annotations[prefix+"container.app."+dir+"-max"] = text
		}
		pods = append(pods, p, c)
	}
	for i, p := range b.Create(b.t, pods...) {
		column := "pod"
		if i%2 == 1 {
			column = "container"
		}
		targets = append(targets, target{column, rates[i/2], b.Container(p, 0)})
	}
	return targets, func() { b.delete(pods...) }
}

// iperfAll lets all targets do the same at the same time.
func (b *bench) iperfAll(targets []target, l load, direction string, in bool, seconds int) {
	reports := make([]iperf.Report, len(targets))
	errs := make([]error, len(targets))
	var wg sync.WaitGroup
	for i, t := range targets {
		test := b.IperfTo(i, iperf.Test{Reverse: in, Streams: l.streams, Seconds: seconds})
		if l.udp {
			test.UDP, test.Size = int64(udpOver*float64(t.rate)*mega), udpSize
		}
		wg.Go(func() { reports[i], errs[i] = t.end.Iperf(b.t.Context(), test) })
	}
	wg.Wait()
	for i, t := range targets {
		what := fmt.Sprintf("%d Mbit/s, %s", t.rate, l.name)
		if errs[i] != nil {
			b.t.Errorf("%s, %s %s: %v", what, t.column, direction, errs[i])
			continue
		}
		b.achieved(reports[i], what, t.column+", "+direction, float64(t.rate)*mega, l.udp, seconds)
		if t.rate == 10 && l.streams == 1 && !l.udp {
			b.keep(pictureStart, t.column+", "+direction, reports[i].Bins, frames)
		}
	}
}

func (b *bench) achieved(r iperf.Report, row, column string, set float64, udp bool, seconds int) {
	onLine := frames
	if udp {
		onLine = datagrams(udpSize)
	} else if r.MSS > 0 {
		onLine = float64(r.MSS+66) / float64(r.MSS)
	}
	mean := r.Mean(0, time.Duration(seconds)*time.Second)
	b.add(tableAchieved, row, column, 100*mean/set)
	b.add(tableFrames, row, column, 100*mean*onLine/set)
	b.add(tableBurst, row, column, r.Peak(time.Second)*onLine/set)
}

// pluginAccuracy is the same with the plugin, new for each try: its first second is the
// point.
func (b *bench) pluginAccuracy(direction string, in bool) {
	targets := []target{{"plugin", 10, b.plain.end(0)}, {"plugin", 100, b.plain.end(1)}}
	for i, t := range targets {
		b.plain.limit(i, t.rate)
		defer b.plain.unlimit(i)
	}
	b.iperfAll(targets, loads[0], direction, in, 5)
}
