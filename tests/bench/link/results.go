package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/kedge-io/kedge/tests/bench/bed"
)

// results is everything that one run found, as it is written to results.json.
type results struct {
	Began time.Time
	Took  string
	Runs  []run
}

// run is one carrier on one path, once.
type run struct {
	Path, Carrier string
	Figures       figures
}

// print writes a table for each path: the median of each figure, and for each
// carrier its ratio to the baseline.
func (r *results) print(w io.Writer) {
	fmt.Fprintf(w, "begun %s, took %s\n", r.Began.Format(time.RFC3339), r.Took)
	for _, path := range []string{pathLoopback, pathLAN, pathThin} {
		r.printPath(w, path)
	}
}

func (r *results) printPath(w io.Writer, path string) {
	values := map[string]map[string][]float64{} // by figure and carrier
	var carriers []string
	for _, run := range r.Runs {
		if run.Path != path {
			continue
		}
		if !slices.Contains(carriers, run.Carrier) {
			carriers = append(carriers, run.Carrier)
		}
		for name, v := range run.Figures {
			if values[name] == nil {
				values[name] = map[string][]float64{}
			}
			values[name][run.Carrier] = append(values[name][run.Carrier], v)
		}
	}
	if len(values) == 0 {
		return
	}
	fmt.Fprintf(w, "\n| %s | %s |\n|%s\n", path, strings.Join(carriers, " | "), strings.Repeat("---|", len(carriers)+1))
	for _, name := range sorted(values) {
		fmt.Fprintf(w, "| %s |", name)
		base := bed.Percentile(values[name][carrierTLS], 0.5)
		for _, carrier := range carriers {
			fmt.Fprintf(w, " %s |", cell(values[name][carrier], base, carrier))
		}
		fmt.Fprintln(w)
	}
}

func cell(values []float64, base float64, carrier string) string {
	if len(values) == 0 {
		return "-"
	}
	v := bed.Percentile(values, 0.5)
	text := fmt.Sprintf("%.4g", v)
	if base > 0 && carrier != carrierTLS {
		text += fmt.Sprintf(" (%.2f)", v/base)
	}
	return text
}

// sorted are the names of the figures, kinds in the order of allWorks.
func sorted(values map[string]map[string][]float64) []string {
	order := []string{"from", "to", "round", "dial", "while", "40"}
	var names []string
	for name := range values {
		names = append(names, name)
	}
	rank := func(name string) int { return slices.Index(order, strings.Fields(name)[0]) }
	slices.SortFunc(names, func(a, b string) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return names
}
