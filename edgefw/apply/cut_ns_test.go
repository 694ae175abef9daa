//go:build namespace

package apply_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/kedge-io/kedge/edgefw/model"
)

// pour accepts connections to a port of the node and writes to them for as long
// as it can.
func (b *bed) pour(port string) {
	b.t.Helper()
	b.node.Do(func() {
		l, err := net.Listen("tcp", ":"+port)
		if err != nil {
			b.t.Error(err)
			return
		}
		b.t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				b.t.Cleanup(func() { _ = c.Close() })
				go func() {
					for _, err = c.Write(make([]byte, 100)); err == nil; _, err = c.Write(make([]byte, 100)) {
						<-time.After(5 * time.Millisecond)
					}
				}()
			}
		}()
	})
}

// reads tells whether so many bytes still come.
func reads(c net.Conn, bytes int) bool {
	_ = c.SetReadDeadline(time.Now().Add(3 * time.Second))
	buf := make([]byte, 100)
	for bytes > 0 {
		n, err := c.Read(buf)
		if err != nil {
			return false
		}
		bytes -= n
	}
	return true
}

// The node's own packets would make the kernel take the connection up again in
// the middle, and what answers them would be established.
func TestCutEndsWhatTheNodeSends(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		b.pour("80")
		b.apply(friends(stranger4, stranger6))
		var downloads []net.Conn
		for _, ends := range [][2]string{{stranger4, node4}, {stranger6, node6}} {
			b.beside.Do(func() {
				d := net.Dialer{Timeout: 3 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(ends[0])}}
				c, err := d.Dial("tcp", net.JoinHostPort(ends[1], "80"))
				if err != nil {
					t.Error(err)
					return
				}
				t.Cleanup(func() { _ = c.Close() })
				downloads = append(downloads, c)
			})
		}
		b.apply(friends(friend4))
		for _, c := range downloads {
			if !reads(c, 2000) {
				t.Errorf("%s ended though nobody cut it", c.LocalAddr())
			}
		}
		_, err := b.kernel.Cut(context.Background(), func(p model.Packet) bool { return p.Direction != model.Ingress })
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range downloads {
			// What was on its way may come, until nothing is.
			if reads(c, 1<<20) {
				t.Errorf("%s goes on", c.LocalAddr())
			}
			if reads(c, 1) {
				t.Errorf("%s goes on", c.LocalAddr())
			}
		}
	})
}
