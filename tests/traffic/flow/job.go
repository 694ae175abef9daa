package flow

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Bin is the width of what [Result.Bins] counts.
const Bin = 100 * time.Millisecond

// Kinds of jobs.
const (
	// TCP sends as much as the way takes, over Streams connections.
	TCP = "tcp"
	// UDP sends datagrams of Size bytes at Rate.
	UDP = "udp"
	// Echo and EchoTCP send Size bytes every Interval and take the time until they are
	// back, in datagrams and over one connection.
	Echo    = "echo"
	EchoTCP = "echo-tcp"
)

// Job is traffic to make.
type Job struct {
	Kind string `json:"kind"`
	// To is the address and data port of the far end.
	To string `json:"to"`
	// In lets the far end send (TCP and UDP).
	In bool `json:"in,omitempty"`
	// Seconds is how long to send. What waits in queues then is still awaited.
	Seconds float64 `json:"seconds"`
	Streams int     `json:"streams,omitempty"`
	// Rate is in bits per second of payload.
	Rate int64 `json:"rate,omitempty"`
	// Size is in bytes of payload, at least 25 for datagrams.
	Size     int           `json:"size,omitempty"`
	Interval time.Duration `json:"interval,omitempty"`
	// Priority is SO_PRIORITY of the near end's sockets, above 6 with CAP_NET_ADMIN only.
	Priority int `json:"priority,omitempty"`
	// Within, if set, runs what opens sockets, for instance in another network namespace.
	Within func(open func()) `json:"-"`
}

// Result is what came of a job.
type Result struct {
	// Error is of the first stream that failed: a reset, bytes that are not the
	// pattern, an end that is not there.
	Error string    `json:"error,omitempty"`
	Began time.Time `json:"began"`
	// Bins are bytes of payload that arrived, by time since Began.
	Bins []int64 `json:"bins,omitempty"`
	// Bytes is the sum of Bins.
	Bytes int64 `json:"bytes"`
	// Sent, Received and Reordered count datagrams, or echoes. What was received
	// twice counts once.
	Sent      int64 `json:"sent,omitempty"`
	Received  int64 `json:"received,omitempty"`
	Reordered int64 `json:"reordered,omitempty"`
	// Gap is the longest time between two arrivals of one stream, up to the last one.
	Gap time.Duration `json:"gap"`
	// Retransmits are segments that the near end sent again.
	Retransmits int64 `json:"retransmits,omitempty"`
	// Delays are one-way delays of datagrams, or round trips of echoes.
	Delays Delays `json:"delays,omitzero"`
}

// Lost is how many datagrams or echoes never arrived.
func (r Result) Lost() int64 { return r.Sent - r.Received }

// Run does the job. It never fails: what went wrong is in the result.
func (j Job) Run(ctx context.Context) Result {
	began := time.Now()
	var r Result
	var err error
	switch j.Kind {
	case TCP:
		r, err = j.tcp(ctx, began)
	case UDP:
		r, err = j.udp(ctx, began)
	case Echo:
		r, err = j.echo(ctx, "udp4")
	case EchoTCP:
		r, err = j.echo(ctx, "tcp4")
	default:
		err = fmt.Errorf("kind %q is not known", j.Kind)
	}
	r.Began = began
	if err != nil {
		r.Error = err.Error()
	}
	return r
}

func (j Job) length() time.Duration { return time.Duration(j.Seconds * float64(time.Second)) }

func (j Job) dial(ctx context.Context, network string) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second, Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		set := func(fd uintptr) {
			if j.Priority != 0 {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PRIORITY, j.Priority)
			}
		}
		if controlErr := c.Control(set); controlErr != nil {
			return controlErr
		}
		return err
	}}
	if j.Within == nil {
		return d.DialContext(ctx, network, j.To)
	}
	var conn net.Conn
	err := errors.New("nothing was opened")
	j.Within(func() { conn, err = d.DialContext(ctx, network, j.To) })
	return conn, err
}
