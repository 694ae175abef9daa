//go:build namespace

package relay

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait for something that is to happen.
const patience = 30 * time.Second

// listen serves each TCP connection to addr in this host by f.
func (h *host) listen(addr string, f func(*net.TCPConn)) {
	h.T.Helper()
	h.Do(func() {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			h.T.Error(err)
			return
		}
		var open sync.Map // the other end may not be able to end a connection
		h.T.Cleanup(func() {
			l.Close()
			open.Range(func(c, _ any) bool {
				c.(net.Conn).Close()
				return true
			})
		})
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				open.Store(c, nil)
				go func() {
					defer c.Close()
					f(c.(*net.TCPConn))
				}()
			}
		}()
	})
}

// dial connects to addr from this host.
func (h *host) dial(network, addr string) (c net.Conn, err error) {
	h.Do(func() { c, err = net.DialTimeout(network, addr, patience) })
	if err == nil {
		h.T.Cleanup(func() { c.Close() })
		err = c.SetDeadline(time.Now().Add(patience))
	}
	return c, err
}

func (h *host) mustDial(network, addr string) net.Conn {
	h.T.Helper()
	c, err := h.dial(network, addr)
	if err != nil {
		h.T.Fatal(err)
	}
	return c
}

// sink counts and sums what it gets and answers with that and with the address
// it came from.
func sink(c *net.TCPConn) {
	sum := sha256.New()
	n, _ := io.Copy(sum, c)
	host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
	fmt.Fprintf(c, "%d %x %s", n, sum.Sum(nil), host)
}

// pour sends size bytes of noise from this host to a sink and checks what it
// says.
func (h *host) pour(addr, from string, size int64) error {
	c, err := h.dial("tcp", addr)
	if err != nil {
		return err
	}
	noise := rand.NewChaCha8([32]byte{byte(size)})
	sum := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(c, sum), noise, size); err != nil {
		return err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	got, err := io.ReadAll(c)
	if want := fmt.Sprintf("%d %x %s", size, sum.Sum(nil), from); err == nil && string(got) != want {
		err = fmt.Errorf("the other end got %q, want %q", got, want)
	}
	return err
}

// askUDP sends a datagram of size bytes and waits for the same to come back.
func (h *host) askUDP(addr string, size int) error {
	c, err := h.dial("udp", addr)
	if err != nil {
		return err
	}
	ask := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(ask)
	if _, err := c.Write(ask); err != nil {
		return err
	}
	buf := make([]byte, 1<<16)
	n, err := c.Read(buf)
	if err == nil && string(buf[:n]) != string(ask) {
		err = fmt.Errorf("%d bytes came back, %d were sent", n, size)
	}
	return err
}

// eventually waits until f says yes.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.After(patience)
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !f() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("waiting for %s", what)
		}
	}
}
