//go:build namespace

package packets

import (
	"bufio"
	"net"
	"time"

	"github.com/kedge-io/kedge/edgefw/model"
)

// alive is the outcome of a flow that goes on.
const alive = "alive"

// flow is one that was begun and goes on until it is closed.
type flow struct {
	probe
	conn  net.Conn
	lines *bufio.Reader // of TCP
	err   error         // of beginning it
}

// begin begins a flow and has the first answer.
func (s *site) begin(p probe, wait time.Duration) *flow {
	f := &flow{probe: p}
	s.sender(p.who).Do(func() {
		switch p.protocol {
		case model.TCP:
			f.conn, f.err = dialTCP(p, wait)
		case model.UDP:
			f.conn, f.err = dialUDP(p)
		default:
			f.conn, f.err = dialPing(p)
		}
	})
	if f.err != nil {
		return f
	}
	if p.protocol == model.TCP {
		f.lines = bufio.NewReader(f.conn)
		_ = f.conn.SetDeadline(time.Now().Add(patience))
		_, f.err = f.lines.ReadString('\n')
	} else {
		_, f.err = exchange(f.conn, f.datagram(), wait)
	}
	if f.err != nil {
		f.close()
	}
	return f
}

func (f *flow) close() { f.conn.Close() }

func (f *flow) datagram() []byte {
	if f.protocol == model.ICMP {
		return echo(f.family)
	}
	return []byte("hello")
}

// talk sends something and returns alive, dropped or refused.
func (f *flow) talk(wait time.Duration) string {
	var err error
	if f.protocol == model.TCP {
		_ = f.conn.SetDeadline(time.Now().Add(wait))
		if _, err = f.conn.Write([]byte("hello\n")); err == nil {
			_, err = f.lines.ReadString('\n')
		}
	} else {
		_, err = exchange(f.conn, f.datagram(), wait)
	}
	if err != nil {
		return outcome(err)
	}
	return alive
}
