package apilb

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
)

// plain dials without a look and believes everybody.
type plain struct{ net.Dialer }

func (p *plain) Prove(ctx context.Context, addr string) error {
	c, err := p.DialContext(ctx, "tcp", addr)
	if err == nil {
		_ = c.Close()
	}
	return err
}

func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

func TestBytesAndTheirEndAreForwarded(t *testing.T) {
	addr := listen(t, func(c net.Conn) {
		_, _ = io.Copy(c, c)
		_ = c.Close()
	})
	n := startNode(t, nil, Config{Server: addr, Dialer: &plain{}})
	client, err := net.Dial("tcp", n.cfg.Listen)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := client.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(client); err != nil || string(got) != "hello" {
		t.Fatalf("got %q, %v", got, err)
	}
}

func TestStopEndsOpenAndHeldConnections(t *testing.T) {
	held := make(chan struct{})
	addr := listen(t, func(c net.Conn) {
		defer c.Close()
		if _, err := c.Read(make([]byte, 1)); err == nil {
			close(held)
		}
		_, _ = c.Read(make([]byte, 1))
	})
	n := startNode(t, nil, Config{Server: addr, Dialer: &plain{}})
	client, err := net.Dial("tcp", n.cfg.Listen)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	<-held
	lonely := startNode(t, nil, Config{Server: freeAddr(t), Dialer: &plain{}})
	waiting, err := net.Dial("tcp", lonely.cfg.Listen)
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	for c, n := range map[net.Conn]*node{client: n, waiting: lonely} {
		n.cancel()
		if _, err := io.ReadAll(c); err != nil && !isReset(err) {
			t.Fatalf("client: %v", err)
		}
	}
}

func TestClientsAreBoundedAndPodsDoNotKeepTheNodesOwnOut(t *testing.T) {
	addr := listen(t, func(c net.Conn) {
		_, _ = io.Copy(c, c)
		_ = c.Close()
	})
	n := startNode(t, nil, Config{Server: addr, Dialer: &plain{}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = n.accept(ctx, newDoor(l, 1, classPods), &wg) })
	defer func() { cancel(); _ = l.Close(); n.pool.dropAll(); wg.Wait() }()
	talk := func(to string) (net.Conn, error) {
		c, err := net.Dial("tcp", to)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_, _ = c.Write([]byte("x"))
		_, err = io.ReadFull(c, make([]byte, 1))
		return c, err
	}
	if _, err := talk(l.Addr().String()); err != nil {
		t.Fatalf("the first pod: %v", err)
	}
	if _, err := talk(l.Addr().String()); err == nil {
		t.Error("more pods than there is room for were served")
	}
	if _, err := talk(n.cfg.Listen); err != nil {
		t.Errorf("kubelet: %v", err)
	}
}

func isReset(err error) bool { _, ok := err.(*net.OpError); return ok }
