package speed

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kedge-io/kedge/tunnel"
)

// Dialer opens a stream to a target of one node.
type Dialer func(ctx context.Context, target tunnel.Target) (net.Conn, error)

// Limits of [Options].
const (
	DefaultDuration = 3 * time.Second
	MaxDuration     = time.Minute
	DefaultStreams  = 1
	MaxStreams      = 64
)

// requestSize is that of one round trip, in bytes.
const requestSize = 100

// Options say how much is measured.
type Options struct {
	// Duration is that of each measurement of throughput and of round trips.
	Duration time.Duration
	// Streams is how many carry the load at once.
	Streams int
}

// Check reports what is out of range, with the range.
func (o Options) Check() error {
	switch {
	case o.Duration <= 0 || o.Duration > MaxDuration:
		return fmt.Errorf("a measurement of %s: want more than 0s and at most %s", o.Duration, MaxDuration)
	case o.Streams < 1 || o.Streams > MaxStreams:
		return fmt.Errorf("%d streams: want 1 to %d", o.Streams, MaxStreams)
	}
	return nil
}

// Quantiles of times, in nanoseconds.
type Quantiles struct {
	P50 time.Duration `json:"p50"`
	P99 time.Duration `json:"p99"`
	// N is how many times were taken.
	N int `json:"n"`
}

// Result is what a link can do now.
type Result struct {
	Streams int `json:"streams"`
	// Dial is the time until a node has accepted a stream.
	Dial Quantiles `json:"dial"`
	// Idle is the round trip of 100 bytes on an open stream; LoadedIn and
	// LoadedOut are the same while bulk goes the other way of their name.
	Idle      Quantiles `json:"idle"`
	LoadedIn  Quantiles `json:"loadedIn"`
	LoadedOut Quantiles `json:"loadedOut"`
	// In and Out are bits per second of payload from and to the node.
	In  float64 `json:"bitsPerSecondIn"`
	Out float64 `json:"bitsPerSecondOut"`
}

// Measure takes about three times o.Duration.
func Measure(ctx context.Context, dial Dialer, o Options) (Result, error) {
	r := Result{Streams: o.Streams}
	if err := o.Check(); err != nil {
		return r, err
	}
	var err error
	if r.Dial, err = dials(ctx, dial); err != nil {
		return r, fmt.Errorf("measure dials: %w", err)
	}
	if r.Idle, err = roundTrips(ctx, dial, o.Duration); err != nil {
		return r, fmt.Errorf("measure round trips: %w", err)
	}
	if r.In, r.LoadedIn, err = load(ctx, dial, o, tunnel.TargetSource, receive); err != nil {
		return r, fmt.Errorf("measure from the node: %w", err)
	}
	if r.Out, r.LoadedOut, err = load(ctx, dial, o, tunnel.TargetSink, send); err != nil {
		return r, fmt.Errorf("measure to the node: %w", err)
	}
	return r, nil
}

// dialSamples is how many dials are timed.
const dialSamples = 20

func dials(ctx context.Context, dial Dialer) (Quantiles, error) {
	var times []time.Duration
	for range dialSamples {
		start := time.Now()
		conn, err := dial(ctx, tunnel.TargetEcho)
		if err != nil {
			return Quantiles{}, err
		}
		times = append(times, time.Since(start))
		_ = conn.Close()
	}
	return quantiles(times), nil
}

// roundTrips times requests one after another until d has passed.
func roundTrips(ctx context.Context, dial Dialer, d time.Duration) (Quantiles, error) {
	conn, err := dial(ctx, tunnel.TargetEcho)
	if err != nil {
		return Quantiles{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	buf := make([]byte, requestSize)
	var times []time.Duration
	for end := time.Now().Add(d); time.Now().Before(end) || len(times) == 0; {
		start := time.Now()
		if _, err := conn.Write(buf); err != nil {
			return Quantiles{}, err
		}
		if _, err := io.ReadFull(conn, buf); err != nil {
			return Quantiles{}, err
		}
		times = append(times, time.Since(start))
	}
	return quantiles(times), nil
}

// load runs copy on each stream and round trips beside them, and returns the
// bits per second of all streams together.
func load(ctx context.Context, dial Dialer, o Options, target tunnel.Target, carry func(net.Conn, *atomic.Int64)) (float64, Quantiles, error) {
	var bytes atomic.Int64
	var wg sync.WaitGroup
	defer wg.Wait()
	for range o.Streams {
		conn, err := dial(ctx, target)
		if err != nil {
			return 0, Quantiles{}, err
		}
		defer conn.Close()
		wg.Go(func() { carry(conn, &bytes) })
	}
	start, before := time.Now(), bytes.Load()
	times, err := roundTrips(ctx, dial, o.Duration)
	rate := float64(bytes.Load()-before) * 8 / time.Since(start).Seconds()
	return rate, times, err
}

func receive(conn net.Conn, n *atomic.Int64) { move(n, conn.Read) }

func send(conn net.Conn, n *atomic.Int64) { move(n, conn.Write) }

// move reads or writes until the stream ends.
func move(n *atomic.Int64, step func([]byte) (int, error)) {
	buf := make([]byte, 64<<10)
	for {
		k, err := step(buf)
		n.Add(int64(k))
		if err != nil {
			return
		}
	}
}

func quantiles(times []time.Duration) Quantiles {
	slices.Sort(times)
	at := func(q float64) time.Duration { return times[min(int(q*float64(len(times))), len(times)-1)] }
	return Quantiles{P50: at(0.50), P99: at(0.99), N: len(times)}
}
