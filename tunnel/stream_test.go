package tunnel_test

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

func TestDeadlinesOfAStream(t *testing.T) {
	a := newAuthority(t)
	addr, rules := listen(t, echo)
	srv := startServer(t, a, "127.0.0.1:0", nil)
	startNode(t, nodeConfig(t, a, nodeNames("edge-1"), srv.addr, rules)).waitReady(t)
	conn := dial(t, srv.hub, "edge-1", addr)
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	_ = conn.SetReadDeadline(time.Time{})
	mustRoundTrip(t, conn)
	interrupted := make(chan error, 1)
	go func() {
		_, err := conn.Read(make([]byte, 1))
		interrupted <- err
	}()
	_ = conn.SetReadDeadline(time.Unix(1, 0))
	if err := <-interrupted; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	_ = conn.Close()
	if _, err := conn.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("write after close: %v", err)
	}
}

func TestTargetThatClosesEndsTheStream(t *testing.T) {
	a := newAuthority(t)
	addr, rules := listen(t, func(c *net.TCPConn) { _, _ = io.WriteString(c, "bye") })
	srv := startServer(t, a, "127.0.0.1:0", nil)
	startNode(t, nodeConfig(t, a, nodeNames("edge-1"), srv.addr, rules)).waitReady(t)
	got, err := io.ReadAll(dial(t, srv.hub, "edge-1", addr))
	if string(got) != "bye" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestClosingTheStreamClosesTheTarget(t *testing.T) {
	a := newAuthority(t)
	ended := make(chan error, 1)
	addr, rules := listen(t, func(c *net.TCPConn) {
		_, err := io.Copy(io.Discard, c)
		ended <- err
	})
	srv := startServer(t, a, "127.0.0.1:0", nil)
	n := startNode(t, nodeConfig(t, a, nodeNames("edge-1"), srv.addr, rules))
	n.waitReady(t)
	_ = dial(t, srv.hub, "edge-1", addr).Close()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the target's connection stays open")
	}
	eventually(t, "the stream to end", func() bool { return n.Status().Streams == 0 })
}
