package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kedge-io/kedge/tests/bench/bed"
)

// draw writes the pictures of tables 1 and 3, as far as there are figures.
func (r *results) draw(dir string) error {
	var problems []error
	for name, c := range map[string]*chart{
		"bandwidth-accuracy.svg": r.accuracyChart(), "bandwidth-start.svg": r.startChart(), "bandwidth-share.svg": r.shareChart(),
	} {
		if len(c.lines) > 0 {
			problems = append(problems, os.WriteFile(filepath.Join(dir, name), []byte(c.svg()), 0o644))
		}
	}
	return errors.Join(problems...)
}

// accuracyChart has a line over the rates for each kind of load and each column that is
// kedge's.
func (r *results) accuracyChart() *chart {
	rates := []int{1, 10, 100, 500}
	c := &chart{
		title: "Achieved, frames on the line, in % of the rate that is set", x: "rate that is set, Mbit/s", from: 80, to: 110, ySteps: 6,
		band: [2]float64{95, 105}, xs: []float64{0, 1, 2, 3}, xLabels: []string{"1", "10", "100", "500"}, right: 3,
	}
	for _, l := range loads {
		for _, column := range r.names(func(s sample) string { return s.Column }, tableFrames) {
			if column == "plugin, "+out || column == "plugin, "+in {
				continue
			}
			one := line{name: l.name + ", " + column}
			for i, rate := range rates {
				if v := r.values(tableFrames, fmt.Sprintf("%d Mbit/s, %s", rate, l.name), column); len(v) > 0 {
					one.points = append(one.points, point{float64(i), bed.Percentile(v, 0.5)})
				}
			}
			if len(one.points) > 0 {
				c.lines = append(c.lines, one)
			}
		}
	}
	return c
}

// startChart is the first seconds at 10 Mbit/s, on a scale of powers of ten.
func (r *results) startChart() *chart {
	c := &chart{
		title: "The first seconds of a TCP stream with a ceiling of 10 Mbit/s: Mbit/s", x: "seconds", log: true,
		from: 1, to: 10_000, ySteps: 4, right: 6, xs: []float64{0, 1, 2, 3, 4, 5, 6},
	}
	for _, s := range r.Series {
		if s.Picture == pictureStart {
			c.lines = append(c.lines, line{s.Name, s.points(60)})
		}
	}
	return c
}

// shareChart is the three pods with guarantees.
func (r *results) shareChart() *chart {
	c := &chart{
		title: "Three greedy pods on a line of 100 Mbit/s: Mbit/s; the second ends after 6 s", x: "seconds",
		from: 0, to: 100, ySteps: 5, right: 12, xs: []float64{0, 2, 4, 6, 8, 10, 12},
	}
	for _, s := range r.Series {
		if s.Picture == pictureShare {
			c.lines = append(c.lines, line{s.Name + " Mbit/s", s.points(120)})
		}
	}
	return c
}

// points are up to n bins as points in seconds.
func (s series) points(n int) []point {
	var p []point
	for i, v := range s.Values[:min(n, len(s.Values))] {
		p = append(p, point{float64(i)/10 + 0.05, v})
	}
	return p
}
