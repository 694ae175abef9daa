package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/kedge-io/kedge/tests/bench/bed"
	traffic "github.com/kedge-io/kedge/tests/traffic/bed"
	"github.com/kedge-io/kedge/tests/traffic/flow"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	tableChanges  = "6. delay of live changes, ms"
	tableTransfer = "6. transfers under these changes"
	// changePause is between two changes. Faster ones would be taken together.
	changePause = 25 * time.Millisecond
)

// change is one of an annotation, by its ceiling in bits per second, which occurs once.
type change struct{ patched, answered, seen, kernel time.Time }

// ledger notes when what happened to each change.
type ledger struct {
	mu  sync.Mutex
	all map[uint64]*change
	// trees counts the directions that have a change.
	trees map[uint64]int
}

func (l *ledger) note(ceil uint64, set func(*change)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.all[ceil]; c != nil {
		set(c)
	}
}

// changes gives two pods a new ceiling in both directions again and again: one sends as much as
// TCP takes, the other datagrams below all its ceilings.
func (b *bench) changes() {
	greedy, calm := traffic.Pod("greedy", b.fast, "app"), traffic.Pod("calm", b.fast, "app")
	for _, p := range []*corev1.Pod{greedy, calm} {
		p.Annotations[prefix+"egress-max"], p.Annotations[prefix+"ingress-max"] = "20M", "20M"
	}
	pods := b.Create(b.t, greedy, calm)
	defer b.delete(pods...)
	l := &ledger{all: map[uint64]*change{}, trees: map[uint64]int{}}
	ctx, cancel := context.WithCancel(b.t.Context())
	defer cancel()
	stop := b.follow(ctx, l)
	// So long that the changes are over before the transfers are.
	seconds := float64(b.o.changes)*(changePause+30*time.Millisecond).Seconds() + 5
	done := make(chan []flow.Result, 1)
	go func() {
		var tasks []traffic.Task
		for _, in := range []bool{false, true} {
			tasks = append(tasks,
				traffic.Task{End: b.Container(pods[0], 0), Job: flow.Job{Kind: flow.TCP, To: b.Far(), In: in, Streams: 2, Seconds: seconds}},
				traffic.Task{End: b.Container(pods[1], 0), Job: flow.Job{Kind: flow.UDP, To: b.Far(), In: in, Seconds: seconds, Rate: 3 * mega, Size: 1000}})
		}
		done <- traffic.Together(b.t, tasks...)
	}()
	wait(2 * time.Second)
	for i := range b.o.changes {
		b.change(l, pods[i%2], ceilingOf(i))
		wait(changePause)
	}
	transfers := <-done
	stop()
	b.reportChanges(l)
	b.reportTransfers(transfers)
}

// ceilingOf is another one for every i below 3000, in whole bytes per second, and never less
// than the datagrams of the second pod need.
func ceilingOf(i int) uint64 {
	const step = 7919 // a prime, so that neighbours are far from each other
	return 5*mega + uint64(i*step%3000)*8000
}

func (b *bench) change(l *ledger, pod *corev1.Pod, ceil uint64) {
	l.mu.Lock()
	c := &change{patched: time.Now()}
	l.all[ceil] = c
	l.mu.Unlock()
	text := strconv.FormatUint(ceil, 10)
	b.Annotate(b.t, pod, map[string]string{prefix + "egress-max": text, prefix + "ingress-max": text})
	l.note(ceil, func(c *change) { c.answered = time.Now() })
}

// follow notes when another watcher of the API sees a change and when the kernel of the
// node has it, both directions, until stop.
func (b *bench) follow(ctx context.Context, l *ledger) (stop func()) {
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	wg.Go(func() {
		// The client ends every request after some time, watches too.
		for ctx.Err() == nil {
			b.watchPods(ctx, l)
		}
	})
	in, _ := io.Pipe() // stays open
	lines, write := io.Pipe()
	listening := make(chan struct{})
	wg.Go(func() {
		err := b.Agents[0].Host.RunPiped(ctx, in, write, b.self, "watch")
		if ctx.Err() == nil {
			b.t.Error(err)
		}
		_ = write.CloseWithError(errors.Join(err, io.EOF))
	})
	wg.Go(func() { l.kernel(lines, listening) })
	select {
	case <-listening:
	case <-ctx.Done():
	}
	return func() {
		wait(time.Second) // the last changes
		cancel()
		_ = in.Close()
		wg.Wait()
	}
}

// watchPods notes what one watch of pods shows.
func (b *bench) watchPods(ctx context.Context, l *ledger) {
	watcher, err := b.Client.CoreV1().Pods("default").Watch(ctx, metav1.ListOptions{})
	if err != nil {
		return
	}
	defer watcher.Stop()
	for e := range watcher.ResultChan() {
		if p, ok := e.Object.(*corev1.Pod); ok {
			ceil, _ := strconv.ParseUint(p.Annotations[prefix+"egress-max"], 10, 64)
			now := time.Now()
			l.note(ceil, func(c *change) {
				if c.seen.IsZero() {
					c.seen = now
				}
			})
		}
	}
}

// kernel reads what watch prints.
func (l *ledger) kernel(lines io.Reader, listening chan<- struct{}) {
	first := true
	for in := bufio.NewScanner(lines); in.Scan(); {
		if first {
			close(listening)
			first = false
		}
		var k classChange
		if json.Unmarshal(in.Bytes(), &k) != nil {
			continue
		}
		l.note(k.Ceil, func(c *change) {
			l.trees[k.Ceil]++
			if l.trees[k.Ceil] == len(traffic.Directions) {
				c.kernel = k.At
			}
		})
	}
}

func (b *bench) reportChanges(l *ledger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var fromPatch, fromSeen []float64
	missed := 0
	for _, c := range l.all {
		if c.kernel.IsZero() {
			missed++
			continue
		}
		ms := func(since time.Time) float64 { return float64(c.kernel.Sub(since)) / 1e6 }
		fromPatch = append(fromPatch, ms(c.patched))
		if !c.seen.IsZero() {
			fromSeen = append(fromSeen, max(0, ms(c.seen)))
		}
	}
	for row, all := range map[string][]float64{"from the begin of the API call": fromPatch, "from a watcher's seeing it": fromSeen} {
		for _, p := range []float64{0.5, 0.9, 0.99, 1} {
			b.add(tableChanges, row, fmt.Sprintf("p%g", 100*p), bed.Percentile(all, p))
		}
		b.add(tableChanges, row, "number", float64(len(all)))
	}
	b.add(tableChanges, "never seen in both trees", "number", float64(missed))
}

func (b *bench) reportTransfers(r []flow.Result) {
	for i, name := range []string{"TCP out", "datagrams out", "TCP in", "datagrams in"} {
		b.must(name, r[i])
		b.add(tableTransfer, name, "Mbit/s", r[i].Mean(0, time.Duration(len(r[i].Bins))*flow.Bin)/mega)
		b.add(tableTransfer, name, "longest gap, ms", float64(r[i].Gap)/1e6)
		if i%2 == 1 {
			b.add(tableTransfer, name, "lost", float64(r[i].Lost()))
			b.add(tableTransfer, name, "of", float64(r[i].Sent))
		} else {
			ok := 0.0
			if r[i].Error == "" {
				ok = 1
			}
			b.add(tableTransfer, name, "whole, no reset", ok)
		}
	}
}
