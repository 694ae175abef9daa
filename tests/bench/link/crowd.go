package main

import (
	"context"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// This file has the works in which streams are in each other's way.

// mixed makes small requests, over an open stream and over new ones, while one
// stream copies without end.
func (l *load) mixed() error {
	for _, do := range []byte{doSource, doSink} {
		if err := l.mixedWith(do); err != nil {
			return err
		}
	}
	return nil
}

func (l *load) mixedWith(do byte) error {
	conn, err := l.open(context.Background(), doEcho)
	if err != nil {
		return err
	}
	defer conn.Close()
	b, err := l.bulk(do, 1)
	if err != nil {
		return err
	}
	defer b.stop()
	<-time.After(l.warm)
	var trips, dials []time.Duration
	buf := make([]byte, requestSize)
	pause := time.NewTicker(10 * time.Millisecond)
	defer pause.Stop()
	before, err := b.progress()
	if err != nil {
		return err
	}
	began := time.Now()
	for n := 0; time.Since(began) < l.length; n++ {
		took, err := exchange(conn, buf)
		if err != nil {
			return err
		}
		trips = append(trips, took)
		if n%4 == 0 {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			took, err := l.request(ctx)
			cancel()
			if err != nil {
				return err
			}
			dials = append(dials, took)
		}
		<-pause.C
	}
	after, err := b.progress()
	if err != nil {
		return err
	}
	name := "while a copy runs " + direction(do)
	l.figures[name+": copy"] = after.rate(before)
	l.note(name+": round trip", trips)
	l.note(name+": dial to first byte", dials)
	return b.err()
}

const (
	unreadStreams = 40
	// stuckAfter is how long no byte must have moved for the streams to count
	// as full.
	stuckAfter = time.Second
	// answerWithin bounds a small request beside the unread streams, and
	// recoverWithin the wait after they were closed.
	answerWithin  = 3 * time.Second
	recoverWithin = time.Minute
)

// unread fills streams that neither end reads and then looks whether others
// still work, what the full ones hold in memory, and how long the carrier needs
// to work again once they are closed.
func (l *load) unread() error {
	before := heap()
	conns := l.full()
	l.figures["40 unread streams: open"] = float64(len(conns))
	l.figures["40 unread streams: heap at the server's end, MB"] = float64(heap()-before) / 1e6
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	took, err := l.request(ctx)
	l.figures["40 unread streams: others answer"] = 0
	if err == nil {
		l.figures["40 unread streams: others answer"] = 1
		l.figures["40 unread streams: dial to first byte"] = milliseconds(took)
	}
	go closeAll(conns) // a carrier that is stuck may not return
	began := time.Now()
	for time.Since(began) < recoverWithin {
		if err = l.once(); err == nil {
			break
		}
	}
	l.figures["40 unread streams: seconds from their end to the next answer"] = time.Since(began).Seconds()
	return nil // that a carrier stays stuck is a figure, not an error
}

// full opens the streams and writes to each until no byte moves any more. They
// are fewer if the carrier is stuck before.
func (l *load) full() (conns []net.Conn) {
	var written atomic.Int64
	for range unreadStreams {
		ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
		conn, err := l.open(ctx, doUnread)
		cancel()
		if err != nil {
			break
		}
		conns = append(conns, conn)
		go func() {
			buf := make([]byte, chunk)
			for {
				n, err := conn.Write(buf)
				written.Add(int64(n))
				if err != nil {
					return
				}
			}
		}()
	}
	for last := int64(-1); written.Load() != last; <-time.After(stuckAfter) {
		last = written.Load()
	}
	return conns
}

func closeAll(conns []net.Conn) {
	var wg sync.WaitGroup
	for _, conn := range conns {
		wg.Go(func() { _ = conn.Close() })
	}
	wg.Wait()
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
