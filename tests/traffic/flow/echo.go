package flow

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"
)

// echo sends every Interval and takes the time until each is back.
func (j Job) echo(ctx context.Context, network string) (Result, error) {
	if j.Size < headSize || j.Interval <= 0 {
		return Result{}, fmt.Errorf("echoes of %d bytes every %s: want at least %d bytes and some pause", j.Size, j.Interval, headSize)
	}
	conn, err := j.openEcho(ctx, network)
	if err != nil {
		return Result{}, err
	}
	defer conn.Close()
	id, d := rand.Uint64(), newDatagrams(time.Now())
	var wg sync.WaitGroup
	wg.Go(func() { readEchoes(conn, j.Size, id, d) })
	sent, err := j.sayEchoes(ctx, conn, id)
	if err == nil {
		d.settle(sent)
	}
	_ = conn.Close()
	wg.Wait()
	r := d.result()
	r.Sent = sent
	return r, err
}

func (j Job) openEcho(ctx context.Context, network string) (net.Conn, error) {
	if network == "udp4" {
		return j.dial(ctx, network)
	}
	return j.open(ctx, request{Kind: verbEcho})
}

func (j Job) sayEchoes(ctx context.Context, conn net.Conn, id uint64) (int64, error) {
	tick := time.NewTicker(j.Interval)
	defer tick.Stop()
	over := time.NewTimer(j.length())
	defer over.Stop()
	buf := make([]byte, j.Size)
	for n := int64(0); ; n++ {
		head{kindEcho, id, uint64(n), time.Now()}.put(buf)
		if _, err := conn.Write(buf); notFull(err) != nil {
			return n, err
		}
		select {
		case <-tick.C:
		case <-over.C:
			return n + 1, nil
		case <-ctx.Done():
			return n + 1, ctx.Err()
		}
	}
}

// readEchoes takes what comes back until the connection is closed.
func readEchoes(conn net.Conn, size int, id uint64, d *datagrams) {
	take := func(h head, n int) {
		if h.id == id {
			d.add(h, n, time.Now())
		}
	}
	if packets, ok := conn.(*net.UDPConn); ok {
		readDatagrams(packets, func(h head, n int, _ netip.AddrPort, _ []byte) { take(h, n) })
		return
	}
	buf := make([]byte, size)
	for {
		_, err := io.ReadFull(conn, buf)
		if h, ok := parseHead(buf); err == nil && ok {
			take(h, size)
		}
		if err != nil {
			return
		}
	}
}
