package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/kedge-io/kedge/tests/lab"
)

const (
	// period is the time between two datagrams of a probe.
	period = 5 * time.Millisecond
	// quiet is after how many datagrams that did not arrive a rule lets none in.
	quiet = 60
	port  = 7000
)

// probe sends datagrams from one host to another without pause. There are no
// answers, so each is the first of a flow for the rules.
type probe struct {
	name string

	mu       sync.Mutex
	sent     []time.Time // of the datagrams of this step, the first is number first
	first    uint64
	arrived  uint64 // number of the latest that arrived; 0 for none
	earliest uint64 // number of the first of this step that arrived; 0 for none
}

// startProbe runs until ctx ends.
func startProbe(ctx context.Context, from, to *lab.Host) (*probe, error) {
	in, err := to.ListenUDP(fmt.Sprintf(":%d", port))
	if err != nil {
		return nil, err
	}
	out, err := from.DialContext(ctx, "udp4", fmt.Sprintf("%s:%d", to.IP(), port))
	if err != nil {
		_ = in.Close()
		return nil, err
	}
	p := &probe{name: to.Name(), first: 1}
	context.AfterFunc(ctx, func() {
		_ = in.Close()
		_ = out.Close()
	})
	go p.send(ctx, out)
	go p.receive(in)
	return p, nil
}

func (p *probe) send(ctx context.Context, out net.Conn) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for number := uint64(1); ctx.Err() == nil; number++ {
		<-tick.C
		p.mu.Lock()
		p.sent = append(p.sent, time.Now())
		p.mu.Unlock()
		_, _ = out.Write(binary.BigEndian.AppendUint64(nil, number))
	}
}

func (p *probe) receive(in net.PacketConn) {
	buf := make([]byte, 64)
	for {
		n, _, err := in.ReadFrom(buf)
		if err != nil {
			return
		}
		if n != 8 {
			continue
		}
		number := binary.BigEndian.Uint64(buf)
		p.mu.Lock()
		p.arrived = max(p.arrived, number)
		if p.earliest == 0 && number >= p.first {
			p.earliest = number
		}
		p.mu.Unlock()
	}
}

// begin forgets what was before this step.
func (p *probe) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.first += uint64(len(p.sent))
	p.sent, p.earliest = nil, 0
}

// verdict returns when the first datagram was sent that met the wanted verdict,
// false while none has.
func (p *probe) verdict(allowed bool) (time.Time, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.earliest
	if !allowed {
		at = max(p.first, p.arrived+1)
		if at+quiet > p.first+uint64(len(p.sent)) {
			return time.Time{}, false
		}
	}
	if at < p.first || at >= p.first+uint64(len(p.sent)) {
		return time.Time{}, false
	}
	return p.sent[at-p.first], true
}
