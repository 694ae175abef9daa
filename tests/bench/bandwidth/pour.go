package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/kedge-io/kedge/tests/nethost"
	"github.com/kedge-io/kedge/tests/traffic/flow"
	"golang.org/x/sys/unix"
)

// poured is what the role pour prints: bits per second of payload that arrived, and the
// processor time of the whole machine meanwhile.
type poured struct {
	Rate         float64
	Busy, Length time.Duration
}

// pour is the role that sends over one connection from each of the host's namespaces,
// all at once, from one process.
func pour(args []string) error {
	flags := flag.NewFlagSet("pour", flag.ExitOnError)
	to := flags.String("to", "", "the far end")
	n := flags.Int("pods", plainPods, "how many")
	seconds := flags.Float64("seconds", 4, "how long")
	reverse := flags.Bool("in", false, "let the far end send")
	_ = flags.Parse(args)
	results := make([]flow.Result, *n)
	before, err := busy()
	if err != nil {
		return err
	}
	began := time.Now()
	var wg sync.WaitGroup
	for i := range results {
		job := flow.Job{Kind: flow.TCP, To: *to, In: *reverse, Seconds: *seconds, Within: within("/run/netns/" + name(i))}
		wg.Go(func() { results[i] = job.Run(context.Background()) })
	}
	wg.Wait()
	p := poured{Length: time.Since(began)}
	after, err := busy()
	p.Busy = after - before
	var failed []error
	for i := range results {
		p.Rate += float64(results[i].Bytes) * 8 / p.Length.Seconds()
		if results[i].Error != "" {
			failed = append(failed, fmt.Errorf("%s: %s", name(i), results[i].Error))
		}
	}
	return errors.Join(err, errors.Join(failed...), json.NewEncoder(os.Stdout).Encode(p))
}

// within opens sockets in the network namespace that is bound there.
func within(path string) func(func()) {
	return func(open func()) {
		nethost.OnThread(func() {
			f, err := os.Open(path)
			if err != nil {
				return
			}
			defer f.Close()
			if unix.Setns(int(f.Fd()), unix.CLONE_NEWNET) == nil {
				open()
			}
		})
	}
}

// busy is how long all processors of the machine have worked since it was started
// (proc(5), stat), in interrupts as well.
func busy() (time.Duration, error) {
	const tick = time.Second / 100 // USER_HZ
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	var cpu string
	var user, nice, system, idle, iowait, irq, softirq int64
	if _, err := fmt.Sscan(first, &cpu, &user, &nice, &system, &idle, &iowait, &irq, &softirq); err != nil {
		return 0, fmt.Errorf("/proc/stat: %w", err)
	}
	return time.Duration(user+nice+system+irq+softirq) * tick, nil
}
