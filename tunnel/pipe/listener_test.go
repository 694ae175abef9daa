package pipe

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/tunnel/transport"
)

func dialBytes(t *testing.T, addr string, dial func(ctx context.Context, network, addr string) (net.Conn, error)) (net.Conn, error) {
	t.Helper()
	return transport.DialBytes(t.Context(), transport.BytesConfig{
		URL: "wss://" + addr + wire.PathPipe, TLS: &tls.Config{InsecureSkipVerify: true}, NetDial: dial,
	})
}

func TestPipesDoNotNest(t *testing.T) {
	s := startServer(t)
	plain := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialBytes(t, s.addr, (&net.Dialer{}).DialContext)
	}
	conn, err := dialBytes(t, "inner", plain)
	var status *transport.StatusError
	if !errors.As(err, &status) || status.Code != http.StatusLoopDetected {
		t.Fatalf("%v, %v", conn, err)
	}
}

func TestPipedConnectionsAreBounded(t *testing.T) {
	s := startServer(t)
	s.l.slots = make(chan struct{}, 2)
	var open []net.Conn
	for range 2 {
		conn, err := dialBytes(t, s.addr, (&net.Dialer{}).DialContext)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, conn)
	}
	_, err := dialBytes(t, s.addr, (&net.Dialer{}).DialContext)
	var status *transport.StatusError
	if !errors.As(err, &status) || status.Code != http.StatusServiceUnavailable {
		t.Fatalf("a third connection: %v", err)
	}
	for _, c := range open {
		_ = c.Close()
	}
	testx.Eventually(t, 20*time.Second, "slots are given back", func(context.Context) error {
		conn, err := dialBytes(t, s.addr, (&net.Dialer{}).DialContext)
		if err == nil {
			_ = conn.Close()
		}
		return err
	})
}

func TestSilentPipedConnectionsEnd(t *testing.T) {
	a, b := net.Pipe()
	gone := make(chan struct{})
	p := newPiped(a, func() { close(gone) })
	p.expect(time.Millisecond)
	<-gone
	if _, err := b.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}

func TestAddressOfAPipedConnectionIsThatOfWhoeverConnected(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Listen(tcp, quietLog())
	front := &http.Server{Handler: l.Handler(), ReadHeaderTimeout: time.Second, ErrorLog: quietErrors()}
	outer, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- front.Serve(outer) }()
	defer func() { _ = front.Close(); <-done }()
	client, err := transport.DialBytes(t.Context(), transport.BytesConfig{
		URL: "ws://" + outer.Addr().String() + wire.PathPipe, TLS: &tls.Config{}, NetDial: (&net.Dialer{}).DialContext,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if conn.RemoteAddr().String() != client.LocalAddr().String() || conn.LocalAddr().Network() != "tcp" {
		t.Errorf("remote %s, local %s", conn.RemoteAddr(), conn.LocalAddr())
	}
	text := strings.Repeat("0123456789", 10000)
	go func() { _, _ = client.Write([]byte(text)); _ = client.(interface{ CloseWrite() error }).CloseWrite() }()
	got, err := io.ReadAll(conn)
	if err != nil || string(got) != text {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	_ = l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after close: %v", err)
	}
}

// TestReadDeadlinesPass shows what HTTP servers rely on: a read that was too
// late loses nothing and may be repeated.
func TestReadDeadlinesPass(t *testing.T) {
	s := startServer(t)
	conn, err := dialBytes(t, s.addr, (&net.Dialer{}).DialContext)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Unix(1, 0))
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Fatal("a read before its time")
	}
	_ = conn.SetReadDeadline(time.Time{})
	s.secure(t, conn)
}
