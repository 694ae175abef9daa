package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/kedge-io/kedge/tests/bench/bed"
)

// results is everything that a run found, as it is written to results.json.
type results struct {
	Began   time.Time
	Took    string
	Parts   []string // with the time that each took
	Samples []sample
	Series  []series
	Notes   []string
}

// sample is one figure. Those of the same place in the same table are repetitions.
type sample struct {
	Table, Row, Column string
	Value              float64
}

// series is a rate over time: Mbit/s in bins of 100 ms.
type series struct {
	Picture, Name string
	Values        []float64
}

func (r *results) add(table, row, column string, v float64) {
	r.Samples = append(r.Samples, sample{table, row, column, v})
}

func (r *results) took(part string, d time.Duration) {
	r.Parts = append(r.Parts, fmt.Sprintf("%s %s", part, d.Round(time.Second)))
}

// keep replaces the series of that name.
func (r *results) keep(picture, name string, bins []int64, perBin float64) {
	s := series{Picture: picture, Name: name}
	for _, b := range bins {
		s.Values = append(s.Values, float64(b)*8*10/1e6*perBin)
	}
	r.Series = slices.DeleteFunc(r.Series, func(o series) bool { return o.Picture == picture && o.Name == name })
	r.Series = append(r.Series, s)
}

func (r *results) write(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// values are the repetitions of a cell.
func (r *results) values(table, row, column string) []float64 {
	var v []float64
	for _, s := range r.Samples {
		if s.Table == table && s.Row == row && s.Column == column {
			v = append(v, s.Value)
		}
	}
	return v
}

func (r *results) names(of func(sample) string, table string) []string {
	var names []string
	for _, s := range r.Samples {
		if n := of(s); (table == "" || s.Table == table) && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}

// print writes a table in Markdown for each kind of figure: medians.
func (r *results) print(w io.Writer) {
	fmt.Fprintf(w, "begun %s, took %s (%s)\n", r.Began.Format(time.RFC3339), r.Took, strings.Join(r.Parts, ", "))
	for _, table := range r.names(func(s sample) string { return s.Table }, "") {
		columns := r.names(func(s sample) string { return s.Column }, table)
		fmt.Fprintf(w, "\n| %s | %s |\n|%s\n", table, strings.Join(columns, " | "), strings.Repeat("---|", len(columns)+1))
		for _, row := range r.names(func(s sample) string { return s.Row }, table) {
			fmt.Fprintf(w, "| %s |", row)
			for _, column := range columns {
				fmt.Fprintf(w, " %s |", cell(r.values(table, row, column)))
			}
			fmt.Fprintln(w)
		}
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "\n- %s\n", n)
	}
}

func cell(values []float64) string {
	if len(values) == 0 {
		return ""
	}
	v := bed.Percentile(values, 0.5)
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}
