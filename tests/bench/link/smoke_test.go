package main

import (
	"fmt"
	"net"
	"os"
	"testing"
	"time"
)

// The processes of a carrier are this executable started again.
func TestMain(m *testing.M) {
	if run, args := role(os.Args[1:]); run != nil {
		if err := run(args); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// freePort is one of two free ports in a row.
func freePort(t *testing.T) int {
	t.Helper()
	for range 20 {
		first, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := first.Addr().(*net.TCPAddr).Port
		second, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+1))
		_ = first.Close()
		if err == nil {
			_ = second.Close()
			return port
		}
	}
	t.Fatal("no two free ports in a row")
	return 0
}

func TestEveryFigureIsTaken(t *testing.T) {
	o := options{out: t.TempDir(), works: "all", length: 20 * time.Millisecond, port: freePort(t)}
	p, err := openPath(t.Context(), o, pathLoopback)
	if err != nil {
		t.Fatal(err)
	}
	for _, carrier := range []string{carrierTLS, carrierKedge} {
		figures, err := p.measure(t.Context(), o, carrier)
		if err != nil {
			t.Fatalf("%s: %v", carrier, err)
		}
		for _, name := range []string{
			"round trip p50", "dial to first byte p99", "from the node, 8 streams", "to the node, 1 stream",
			"while a copy runs to the node: round trip p99", "40 unread streams: others answer",
		} {
			if _, ok := figures[name]; !ok {
				t.Errorf("%s: %s is missing: %v", carrier, name, figures)
			}
		}
		if figures["40 unread streams: others answer"] != 1 {
			t.Errorf("%s: unread streams stop others", carrier)
		}
	}
}
