package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/kedge-io/kedge/tests/bench/bed"
)

// results are all latencies of a run.
type results struct {
	Began        time.Time
	Steps, Nodes int
	// Load is the machine's load average at the end of each part.
	Load map[string]string

	mu     sync.Mutex
	Series map[string][]time.Duration // part, and how it was changed
}

func seriesOf(part string, kubectl bool) string {
	if kubectl {
		return part + " by kubectl"
	}
	return part + " by request"
}

func (r *results) note(part string, kubectl bool, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := seriesOf(part, kubectl)
	r.Series[name] = append(r.Series[name], took)
}

// loaded notes how busy the machine was: for a minute, five and fifteen.
func (r *results) loaded(part string) {
	text, err := os.ReadFile("/proc/loadavg")
	if words := strings.Fields(string(text)); err == nil && len(words) > 3 {
		r.Load[part] = strings.Join(words[:3], " ")
	}
}

func (r *results) write(path string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// rows are those of the table: a series and the one that it is compared with.
var rows = []struct{ what, series, baseline string }{
	{"the API has a rule (baseline)", "real/api", ""},
	{"6 nodes, a rule, by packets", "real", "real/api"},
	{"of that after the API had it", "real/after", ""},
	{"6 nodes, an entry of a set, by packets", "set", "set/api"},
	{"of that after the API had it", "set/after", ""},
	{"the API has a rule, with all nodes (baseline)", "simulated/api", ""},
	{"simulated nodes, a rule in the kernel", "simulated", "watch"},
	{"of that after the API had it", "simulated/after", "watch/after"},
	{"as many plain watches of the API (baseline)", "watch", ""},
	{"of that after the API had it", "watch/after", ""},
}

// print writes the table of docs/benchmarks.md.
func (r *results) print(w io.Writer) {
	fmt.Fprintln(w, "| milliseconds from the start of | | samples | p50 | p99 | most | p50 to baseline | p99 to baseline |\n|---|---|---|---|---|---|---|---|")
	for _, kubectl := range []bool{true, false} {
		from := "the request"
		if kubectl {
			from = "`kubectl apply`"
		}
		for _, row := range rows {
			list := r.Series[seriesOf(row.series, kubectl)]
			if len(list) == 0 {
				continue
			}
			half, most := ms(list, 0.5), ms(list, 1)
			late := ms(list, 0.99)
			ratio := "| |"
			if base := r.Series[seriesOf(row.baseline, kubectl)]; len(base) > 0 {
				ratio = fmt.Sprintf("| %.2f | %.2f |", half/ms(base, 0.5), late/ms(base, 0.99))
			}
			fmt.Fprintf(w, "| %s | %s | %d | %.0f | %.0f | %.0f %s\n", from, row.what, len(list), half, late, most, ratio)
		}
	}
	for _, p := range parts {
		if load := r.Load[p.name]; load != "" {
			fmt.Fprintf(w, "load average at the end of part %s: %s\n", p.name, load)
		}
	}
}

func ms(list []time.Duration, share float64) float64 {
	return float64(bed.Percentile(list, share)) / float64(time.Millisecond)
}
