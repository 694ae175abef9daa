package apilb

import (
	"context"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"
)

// freeAddr returns a loopback address on which nothing listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// start runs the endpoint and returns its address and a function that stops
// it and returns its error.
func start(t *testing.T, server string) (string, func() error) {
	t.Helper()
	addr := freeAddr(t)
	c := New(Config{Listen: addr, Server: server}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- c.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatalf("ended early: %v", err)
	case <-time.After(20 * time.Second):
		t.Fatal("not ready")
	}
	return addr, func() error { cancel(); return <-done }
}

func TestBytesAndTheirEndAreForwarded(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
	addr, stop := start(t, server.Addr().String())
	client, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := client.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(client); err != nil || string(got) != "hello" {
		t.Fatalf("got %q, %v", got, err)
	}
	if err := stop(); err != context.Canceled {
		t.Fatalf("stop: %v", err)
	}
}

func TestStopEndsOpenConnections(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	addr, stop := start(t, server.Addr().String())
	client, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the probe's connection and the client's
		if _, err := server.Accept(); err != nil {
			t.Fatal(err)
		}
	}
	if err := stop(); err != context.Canceled {
		t.Fatalf("stop: %v", err)
	}
	if _, err := io.ReadAll(client); err != nil && !isReset(err) {
		t.Fatalf("client: %v", err)
	}
}

func isReset(err error) bool { _, ok := err.(*net.OpError); return ok }

func TestANodeStartsWithoutItsServer(t *testing.T) {
	addr, stop := start(t, freeAddr(t))
	client, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(client); err != nil && !isReset(err) {
		t.Fatalf("client: %v", err)
	}
	if err := stop(); err != context.Canceled {
		t.Fatalf("stop: %v", err)
	}
}
