package main

import (
	"errors"
	"os"
	"strconv"
	"time"

	benchbed "github.com/kedge-io/kedge/tests/bench/bed"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
	"github.com/kedge-io/kedge/tests/traffic/bed"
	"github.com/kedge-io/kedge/tests/traffic/flow"
	"golang.org/x/sys/unix"
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

type attempted = benchbed.Attempted

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
	cluster.Must(t, ahead())
	return b
}

// ahead lets this process go before others: it carries the packets of the line with a delay,
// and on a busy machine its wait for a processor would be measured as that of the line.
func ahead() error {
	const first = -20
	// Where the scheduler groups by session, only the group's priority counts.
	err := os.WriteFile("/proc/self/autogroup", []byte(strconv.Itoa(first)), 0o644)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	threads, err := os.ReadDir("/proc/self/task")
	for _, thread := range threads {
		id, atoiErr := strconv.Atoi(thread.Name())
		err = errors.Join(err, atoiErr, unix.Setpriority(unix.PRIO_PROCESS, id, first))
	}
	return err
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
