package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// bulk is a copy that goes on until stop.
type bulk struct {
	do    byte
	conns []net.Conn
	wg    sync.WaitGroup
	over  atomic.Bool
	first atomic.Pointer[error]
	began time.Time

	taken atomic.Int64 // of doSource
	given atomic.Int64 // of doSink
	// count asks the target how much came in. It is a stream of its own, because
	// remotedialer lets nothing back on a stream whose reader once fell behind.
	count net.Conn
	base  int64
}

// progress is how much came out at the other end of a copy, and when by the clock
// of that end.
type progress struct {
	bytes int64
	at    time.Duration
}

// rate is the mean since before in Mbit/s.
func (p progress) rate(before progress) float64 {
	return float64(p.bytes-before.bytes) * 8 / 1e6 / (p.at - before.at).Seconds()
}

func (l *load) bulk(do byte, streams int) (*bulk, error) {
	b := &bulk{do: do, began: time.Now()}
	if do == doSink {
		var err error
		if b.count, err = l.soon(doCount); err != nil {
			return nil, err
		}
		p, err := b.progress()
		if err != nil {
			return nil, err
		}
		b.base = p.bytes
	}
	for range streams {
		conn, err := l.soon(do)
		if err != nil {
			b.stop()
			return nil, err
		}
		b.conns = append(b.conns, conn)
		if do == doSource {
			b.wg.Go(func() { b.take(conn) })
		} else {
			b.wg.Go(func() { b.give(conn) })
		}
	}
	return b, nil
}

// soon is open with a bound.
func (l *load) soon(do byte) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return l.open(ctx, do)
}

func (b *bulk) take(conn net.Conn) {
	buf := make([]byte, chunk)
	for {
		n, err := conn.Read(buf)
		b.taken.Add(int64(n))
		if err != nil {
			b.fail(err)
			return
		}
	}
}

func (b *bulk) give(conn net.Conn) {
	buf := make([]byte, chunk)
	for !b.over.Load() {
		n, err := conn.Write(buf)
		b.given.Add(int64(n))
		if err != nil {
			b.fail(err)
			return
		}
	}
}

func (b *bulk) progress() (progress, error) {
	if b.do == doSource {
		return progress{b.taken.Load(), time.Since(b.began)}, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return within(ctx, func() (progress, error) {
		if _, err := b.count.Write([]byte{doCount}); err != nil {
			return progress{}, err
		}
		var answer [16]byte
		_, err := io.ReadFull(b.count, answer[:])
		return progress{
			int64(binary.BigEndian.Uint64(answer[:8])) - b.base, time.Duration(binary.BigEndian.Uint64(answer[8:])),
		}, err
	})
}

func (b *bulk) fail(err error) {
	if !b.over.Load() {
		b.first.CompareAndSwap(nil, &err)
	}
}

func (b *bulk) err() error {
	if err := b.first.Load(); err != nil {
		return *err
	}
	return nil
}

// endWithin bounds the end of a copy.
const endWithin = 20 * time.Second

var errEnd = errors.New("the copy does not end")

// stop lets the copy come to a proper end, and cuts it off if it does not.
func (b *bulk) stop() {
	b.over.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), endWithin)
	defer cancel()
	_, _ = within(ctx, func() (int, error) {
		if b.do == doSource {
			for _, conn := range b.conns {
				_, _ = conn.Write([]byte{doEnd})
			}
		}
		b.wg.Wait()
		return 0, nil
	})
	if b.count != nil {
		_ = patientlyUntil(ctx, func() error {
			p, err := b.progress()
			if err == nil && p.bytes < b.given.Load() {
				err = errEnd
			}
			return err
		})
		b.conns = append(b.conns, b.count)
	}
	_, _ = within(ctx, func() (int, error) { closeAll(b.conns); return 0, nil })
}
