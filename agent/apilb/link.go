package apilb

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// copySize is that of the buffer of one direction: a TLS record.
	copySize = 16<<10 + 512
	// smallest is the least that a client sends to ask for something, in bytes.
	// What HTTP/2 sends to acknowledge (window updates, pings) is smaller, also
	// with the frame of TLS around it, and gets no answer.
	smallest = 64
)

// link is one client's connection to a candidate.
type link struct {
	client, server net.Conn
	candidate      *candidate

	// asked is when the client sent what has not been answered, back when a
	// byte came last, in nanoseconds since 1970; 0 for never.
	asked, back atomic.Int64
	ended       atomic.Bool
}

// carry copies in both directions until both have ended, and returns what
// broke at the server's end, if that did.
func (l *link) carry() error {
	var wg sync.WaitGroup
	var broke error
	wg.Go(func() {
		_ = l.pump(l.server, l.client, func(n int) { // a client may break as it likes
			if n >= smallest {
				l.asked.CompareAndSwap(0, time.Now().UnixNano())
			}
		})
	})
	wg.Go(func() {
		broke = l.pump(l.client, l.server, func(int) {
			now := time.Now()
			l.asked.Store(0)
			l.back.Store(now.UnixNano())
			l.candidate.back.Store(now.UnixNano())
		})
	})
	wg.Wait()
	if broke == nil && l.back.Load() == 0 && l.asked.Load() != 0 {
		broke = errNothing
	}
	if l.ended.Load() {
		return nil // by us
	}
	return broke
}

var errNothing = errors.New("the connection was closed without an answer")

// pump copies until src ends, then tells dst so. A broken copy ends both
// directions, or the other one would wait for ever. The error is src's.
func (l *link) pump(dst, src net.Conn, seen func(n int)) error {
	buf := make([]byte, copySize)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			seen(n)
			if _, err := dst.Write(buf[:n]); err != nil {
				l.close()
				return nil
			}
		}
		if errors.Is(err, io.EOF) {
			if c, ok := dst.(interface{ CloseWrite() error }); ok {
				_ = c.CloseWrite()
			}
			return nil
		}
		if err != nil {
			ours := errors.Is(err, net.ErrClosed)
			l.close()
			if ours {
				return nil
			}
			return err
		}
	}
}

// close ends both directions.
func (l *link) close() {
	_ = l.client.Close()
	_ = l.server.Close()
}

// drop ends the link for a reason of ours.
func (l *link) drop() {
	l.ended.Store(true)
	l.close()
}

// waiting says since when a request waits for an answer; the zero time for none.
func (l *link) waiting() time.Time {
	if asked := l.asked.Load(); asked != 0 {
		return time.Unix(0, asked)
	}
	return time.Time{}
}

func (l *link) lastBack() time.Time {
	if back := l.back.Load(); back != 0 {
		return time.Unix(0, back)
	}
	return time.Time{}
}
