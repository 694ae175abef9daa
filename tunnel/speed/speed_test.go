package speed

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/tunnel"
)

// node answers the targets as a node does, over pipes.
func node(t *testing.T) Dialer {
	return func(_ context.Context, target tunnel.Target) (net.Conn, error) {
		here, there := net.Pipe()
		t.Cleanup(func() { there.Close() })
		switch target {
		case tunnel.TargetEcho:
			go func() { _, _ = io.Copy(there, there) }()
		case tunnel.TargetSink:
			go func() { _, _ = io.Copy(io.Discard, there) }()
		case tunnel.TargetSource:
			go func() {
				for buf := make([]byte, 1<<10); ; {
					if _, err := there.Write(buf); err != nil {
						return
					}
				}
			}()
		default:
			return nil, errors.New("no such target")
		}
		return here, nil
	}
}

func TestMeasurementHasEveryFigure(t *testing.T) {
	r, err := Measure(t.Context(), node(t), Options{Duration: 20 * time.Millisecond, Streams: 2})
	if err != nil {
		t.Fatal(err)
	}
	for name, q := range map[string]Quantiles{"dial": r.Dial, "idle": r.Idle, "in": r.LoadedIn, "out": r.LoadedOut} {
		if q.N == 0 || q.P50 <= 0 || q.P99 < q.P50 {
			t.Errorf("%s: %+v", name, q)
		}
	}
	if r.In <= 0 || r.Out <= 0 || r.Streams != 2 {
		t.Errorf("got %+v", r)
	}
}

func TestFailedDialEndsTheMeasurement(t *testing.T) {
	refused := func(context.Context, tunnel.Target) (net.Conn, error) { return nil, errors.New("refused") }
	if _, err := Measure(t.Context(), refused, Options{Duration: time.Second, Streams: 1}); err == nil || !strings.Contains(err.Error(), "measure dials: refused") {
		t.Errorf("got %v", err)
	}
}

func TestOptionsOutOfRangeAreNamed(t *testing.T) {
	for want, o := range map[string]Options{
		"a measurement of 2m0s": {Duration: 2 * time.Minute, Streams: 1},
		"a measurement of 0s":   {Streams: 1},
		"0 streams":             {Duration: time.Second},
		"65 streams":            {Duration: time.Second, Streams: 65},
	} {
		if err := o.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestQuantilesOfAFewTimes(t *testing.T) {
	got := quantiles([]time.Duration{3, 1, 2})
	if got != (Quantiles{P50: 2, P99: 3, N: 3}) {
		t.Errorf("got %+v", got)
	}
}
