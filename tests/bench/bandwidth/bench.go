package main

import (
	"os"
	"time"

	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
	"github.com/kedge-io/kedge/tests/traffic/bed"
	"github.com/kedge-io/kedge/tests/traffic/flow"
)

const (
	mega   = 1e6
	prefix = "bandwidth.kedge.io/"
	// lineRate is what the thin edge's line carries in bits per second, and its delay.
	lineRate  = 100 * mega
	lineDelay = 5 * time.Millisecond
)

// Names of the directions in tables.
const (
	out = "out"
	in  = "in"
)

// bench is the laboratory of a run: a fast edge, one with a line of 100 Mbit/s, and a
// host without kedge.
type bench struct {
	*results
	*bed.Bed
	t          *attempted
	o          options
	fast, thin string // nodes
	plain      *plain
	self       string
}

func up(t *attempted, o options, r *results) *bench {
	self, err := os.Executable()
	cluster.Must(t, err)
	// What the packages for tests look at.
	cluster.Must(t, os.Setenv("KEDGE_BINARY", o.kedge))
	cluster.Must(t, os.Setenv("KEDGE_LAB_DIR", o.out))
	b := &bench{results: r, t: t, o: o, self: self}
	b.Bed = bed.Up(t,
		bed.Edge{Uplink: "5G"},
		bed.Edge{Uplink: "100M", Line: lineRate, Delay: lineDelay},
		bed.Edge{Bare: true})
	b.fast, b.thin = b.Agents[0].Name(), b.Agents[1].Name()
	b.plain = newPlain(t, b)
	return b
}

// thinHost is the host with the line of 100 Mbit/s.
func (b *bench) thinHost() *lab.Host { return b.Agents[1].Host }

// directions are both with their names.
func directions(run func(name string, in bool)) {
	run(out, false)
	run(in, true)
}

// frames is how many bits cross the line for each bit of payload of TCP, and datagrams
// how many for UDP of that size: 66 and 42 bytes of headers.
const frames = 1514.0 / 1448

func datagrams(size int) float64 { return float64(size+42) / float64(size) }

// must fails the run where a job had an error, and returns its result.
func (b *bench) must(what string, r flow.Result) flow.Result {
	if r.Error != "" {
		b.t.Errorf("%s: %s", what, r.Error)
	}
	return r
}

// wait lets time pass: for queues to empty between two measurements, or for a load to
// settle.
func wait(d time.Duration) { <-time.After(d) }
