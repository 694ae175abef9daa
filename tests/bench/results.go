package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// results is everything that one run found, as it is written to results.json.
type results struct {
	Began  time.Time
	Took   string
	Size   size
	Starts []start
	Idle   []idle
	Rates  []rate
}

type size struct{ Plain, Packed int64 }

type start struct {
	Subject string
	Times   startTimes
}

// idle is one host at rest. CPU is processor seconds per second.
type idle struct {
	Subject string
	Memory  []memory
	Writes  writes
	CPU     float64
}

const megabyte = 1e6

// measureSize packs the binary as a release would.
func measureSize(ctx context.Context, o options, r *results) error {
	info, err := os.Stat(o.kedge)
	if err != nil {
		return err
	}
	r.Size.Plain = info.Size()
	pack := exec.CommandContext(ctx, "zstd", "-19", "-T0", "-q", "-c", o.kedge)
	var n counter
	pack.Stdout = &n
	if err := pack.Run(); err != nil {
		return fmt.Errorf("zstd -19 %s: %w", o.kedge, err)
	}
	r.Size.Packed = int64(n)
	return nil
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	if n := len(values); n%2 == 0 {
		return (values[n/2-1] + values[n/2]) / 2
	}
	return values[len(values)/2]
}

// print writes the tables of docs/benchmarks.md.
func (r *results) print(w io.Writer) {
	fmt.Fprintf(w, "begun %s, took %s\n", r.Began.Format(time.RFC3339), r.Took)
	if r.Size.Packed > 0 {
		fmt.Fprintf(w, "\nbinary %.1f MB, zstd -19 %.1f MB\n", float64(r.Size.Plain)/megabyte, float64(r.Size.Packed)/megabyte)
	}
	r.printStarts(w)
	r.printIdle(w)
	r.printRates(w)
}

func (r *results) printStarts(w io.Writer) {
	if len(r.Starts) == 0 {
		return
	}
	fmt.Fprintf(w, "\n| seconds, median of %d | kedge | separate processes | ratio |\n|---|---|---|---|\n", len(r.Starts)/2)
	for _, row := range []struct {
		name string
		of   func(startTimes) float64
	}{
		{"API ready", func(t startTimes) float64 { return t.API }},
		{"node registered", func(t startTimes) float64 { return t.Registered }},
		{"node Ready", func(t startTimes) float64 { return t.Ready }},
		{"first pod Running", func(t startTimes) float64 { return t.Pod }},
		{"processor time", func(t startTimes) float64 { return t.CPU }},
	} {
		values := map[string][]float64{}
		for _, s := range r.Starts {
			values[s.Subject] = append(values[s.Subject], row.of(s.Times))
		}
		k, b := median(values[(&kedgeServer{}).name()]), median(values[(&baseline{}).name()])
		fmt.Fprintf(w, "| %s | %.1f | %.1f | %.2f |\n", row.name, k, b, k/b)
	}
}

func (r *results) printIdle(w io.Writer) {
	if len(r.Idle) == 0 {
		return
	}
	fmt.Fprintf(w, "\n| host | program | processes | resident MB | proportional MB | anonymous MB |\n|---|---|---|---|---|---|\n")
	for _, i := range r.Idle {
		for _, m := range append(i.Memory, total(i.Memory)) {
			fmt.Fprintf(w, "| %s | %s | %d | %.0f | %.0f | %.0f |\n", i.Subject, m.Program, m.Processes,
				float64(m.Resident)/megabyte, float64(m.Proportional)/megabyte, float64(m.Anonymous)/megabyte)
		}
	}
	fmt.Fprintf(w, "\n| host | to the disk MB/h | by program MB/h | log kB/h | processor %% of a core |\n|---|---|---|---|---|\n")
	for _, i := range r.Idle {
		var by []string
		for _, name := range slices.Sorted(maps.Keys(i.Writes.Programs)) {
			if n := i.Writes.Programs[name]; n > 0 {
				by = append(by, fmt.Sprintf("%s %.2f", name, i.Writes.perHour(n)/megabyte))
			}
		}
		fmt.Fprintf(w, "| %s | %.2f | %s | %.0f | %.1f |\n", i.Subject, i.Writes.perHour(i.Writes.Device)/megabyte,
			strings.Join(by, ", "), i.Writes.perHour(i.Writes.Log)/1e3, 100*i.CPU)
	}
}

func (r *results) printRates(w io.Writer) {
	if len(r.Rates) == 0 {
		return
	}
	fmt.Fprintf(w, "\n| load | | per second | p50 ms | p99 ms |\n|---|---|---|---|---|\n")
	type key struct{ what, subject string }
	var keys []key
	per, p50, p99 := map[key][]float64{}, map[key][]float64{}, map[key][]float64{}
	for _, v := range r.Rates {
		k := key{v.What, v.Subject}
		if per[k] == nil {
			keys = append(keys, k)
		}
		per[k], p50[k], p99[k] = append(per[k], v.PerSecond), append(p50[k], v.P50ms), append(p99[k], v.P99ms)
	}
	slices.SortStableFunc(keys, func(a, b key) int { return strings.Compare(a.what, b.what) })
	for _, k := range keys {
		fmt.Fprintf(w, "| %s | %s | %.1f | %.1f | %.1f |\n", k.what, k.subject, median(per[k]), median(p50[k]), median(p99[k]))
	}
}
