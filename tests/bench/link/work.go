package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/kedge-io/kedge/tests/bench/bed"
)

// figures are what one run found, by name: rates in Mbit/s, times in
// milliseconds, processor time in seconds per GB.
type figures map[string]float64

// load is the work on one carrier.
type load struct {
	dial         func(context.Context) (net.Conn, error)
	length, warm time.Duration
	watch        []int // processes whose processor time counts; none where they cannot be seen
	figures      figures
}

type work struct {
	name string
	do   func(*load) error
}

// allWorks are in the order in which they are done: the one that may break the
// carrier comes last.
var allWorks = []work{
	{"rtt", (*load).roundTrips},
	{"dial", (*load).dials},
	{"copy", (*load).copies},
	{"mixed", (*load).mixed},
	{"unread", (*load).unread},
}

func workNames() []string {
	var names []string
	for _, w := range allWorks {
		names = append(names, w.name)
	}
	return names
}

// requestSize is that of a small request and of its answer, in bytes.
const requestSize = 100

// open connects to the target and says what it shall do. It returns when ctx
// ends, even from a carrier that is stuck.
func (l *load) open(ctx context.Context, do byte) (net.Conn, error) {
	return within(ctx, func() (net.Conn, error) {
		conn, err := l.dial(ctx)
		if err != nil {
			return nil, err
		}
		if _, err := conn.Write([]byte{do}); err != nil {
			_ = conn.Close()
			return nil, err
		}
		return conn, nil
	})
}

// within leaves do behind when ctx ends: not every carrier knows deadlines.
func within[T any](ctx context.Context, do func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		v, err := do()
		answers <- answer{v, err}
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// request is one small request over a connection of its own: the time from the
// dial to the answer.
func (l *load) request(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	return within(ctx, func() (time.Duration, error) {
		conn, err := l.open(ctx, doEcho)
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		_, err = exchange(conn, make([]byte, requestSize))
		return time.Since(began), err
	})
}

func exchange(conn net.Conn, buf []byte) (time.Duration, error) {
	began := time.Now()
	if _, err := conn.Write(buf); err != nil {
		return 0, err
	}
	_, err := io.ReadFull(conn, buf)
	return time.Since(began), err
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (l *load) note(name string, times []time.Duration) {
	l.figures[name+" p50"] = milliseconds(bed.Percentile(times, 0.5))
	l.figures[name+" p99"] = milliseconds(bed.Percentile(times, 0.99))
}

// roundTrips sends small requests one after the other over one stream.
func (l *load) roundTrips() error {
	conn, err := l.open(context.Background(), doEcho)
	if err != nil {
		return err
	}
	defer conn.Close()
	buf := make([]byte, requestSize)
	var times []time.Duration
	for begin := time.Now(); time.Since(begin) < l.warm+l.length; {
		took, err := exchange(conn, buf)
		if err != nil {
			return err
		}
		if time.Since(begin) > l.warm {
			times = append(times, took)
		}
	}
	l.note("round trip", times)
	return nil
}

// dials makes a connection for each small request.
func (l *load) dials() error {
	var times []time.Duration
	for begin := time.Now(); time.Since(begin) < l.length || len(times) < 20; {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		took, err := l.request(ctx)
		cancel()
		if err != nil {
			return err
		}
		times = append(times, took)
	}
	l.note("dial to first byte", times)
	return nil
}

// copies measures throughput in both directions with 1 and 8 streams.
func (l *load) copies() error {
	for _, do := range []byte{doSource, doSink} {
		for _, streams := range []int{1, 8} {
			b, err := l.bulk(do, streams)
			if err != nil {
				return err
			}
			name := fmt.Sprintf("%s, %s", direction(do), plural(streams))
			err = l.meter(name, b)
			b.stop()
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func direction(do byte) string {
	if do == doSink {
		return "to the node"
	}
	return "from the node"
}

func plural(streams int) string {
	if streams == 1 {
		return "1 stream"
	}
	return fmt.Sprintf("%d streams", streams)
}

// meter takes the rate and the processor time of a copy under way.
func (l *load) meter(name string, b *bulk) error {
	<-time.After(l.warm)
	cpu, err := bed.CPU(l.watch...)
	if err != nil {
		return err
	}
	before, err := b.progress()
	if err != nil {
		return err
	}
	<-time.After(l.length)
	used, err := bed.CPU(l.watch...)
	if err != nil {
		return err
	}
	after, err := b.progress()
	if err != nil {
		return err
	}
	l.figures[name] = after.rate(before)
	if moved := after.bytes - before.bytes; moved > 100e6 && len(l.watch) > 0 {
		l.figures[name+", processor"] = (used - cpu).Seconds() / (float64(moved) / 1e9)
	}
	return b.err()
}
