package apilb

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/internal/testx"
)

// priorities lists SO_PRIORITY of all connections to servers.
func (n *node) priorities(t *testing.T) []int {
	t.Helper()
	n.pool.mu.Lock()
	defer n.pool.mu.Unlock()
	var out []int
	for _, c := range n.pool.list {
		for l := range c.links {
			raw, err := l.server.(syscall.Conn).SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			_ = raw.Control(func(fd uintptr) {
				value, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PRIORITY)
				if err != nil {
					t.Error(err)
				}
				out = append(out, value)
			})
		}
	}
	return out
}

func TestOnlyTheNodesOwnClientsGetThePriorityOfControl(t *testing.T) {
	addr := listen(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1))
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
	for at, want := range map[string]int{n.cfg.Listen: 7, l.Addr().String(): 6} {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		testx.Eventually(t, within, "the client has a server", func(context.Context) error {
			if len(n.priorities(t)) != 1 {
				return errors.New("not yet")
			}
			return nil
		})
		if got := n.priorities(t)[0]; got != want {
			t.Errorf("priority %d for clients of %s, want %d", got, at, want)
		}
		_ = c.Close()
		testx.Eventually(t, within, "the client is gone", func(context.Context) error {
			if len(n.priorities(t)) != 0 {
				return errors.New("not yet")
			}
			return nil
		})
	}
}
