package firewalllock

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

// local is something on a node that takes part in its way to the server.
type local struct {
	ctx  context.Context
	stop context.CancelFunc
	all  sync.WaitGroup
}

func newLocal(t *testing.T) *local {
	l := &local{}
	l.ctx, l.stop = context.WithCancel(context.Background())
	t.Cleanup(func() {
		l.stop()
		l.all.Wait()
	})
	return l
}

// forward hands connections to address on to target, as the process of a VPN or of
// ssh -L does: by connections of its own.
func forward(t *testing.T, h *lab.Host, address, target string) {
	t.Helper()
	listener, err := h.Listen("tcp4", address)
	cluster.Must(t, err)
	l := newLocal(t)
	context.AfterFunc(l.ctx, func() { _ = listener.Close() })
	l.all.Go(func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			l.all.Go(func() { l.carry(h, in, target) })
		}
	})
}

func (l *local) carry(h *lab.Host, in net.Conn, target string) {
	defer in.Close()
	ctx, cancel := context.WithTimeout(l.ctx, 10*time.Second)
	defer cancel()
	out, err := h.DialContext(ctx, "tcp4", target)
	if err != nil {
		return
	}
	defer out.Close()
	defer context.AfterFunc(l.ctx, func() { _ = in.Close(); _ = out.Close() })()
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(out, in); _ = out.Close() })
	both.Go(func() { _, _ = io.Copy(in, out); _ = in.Close() })
	both.Wait()
}

// resolver answers at address what upstream answers, from a new socket for each
// question.
func resolver(t *testing.T, h *lab.Host, address, upstream string) {
	t.Helper()
	conn, err := h.ListenUDP(address)
	cluster.Must(t, err)
	l := newLocal(t)
	context.AfterFunc(l.ctx, func() { _ = conn.Close() })
	l.all.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			question := append([]byte(nil), buf[:n]...)
			l.all.Go(func() {
				if answer, err := l.ask(h, upstream, question); err == nil {
					_, _ = conn.WriteTo(answer, from)
				}
			})
		}
	})
}

func (l *local) ask(h *lab.Host, upstream string, question []byte) ([]byte, error) {
	return exchange(l.ctx, h, upstream, question)
}

// query asks the name server from a program other than kedge.
func query(ctx context.Context, h *lab.Host) error {
	// RFC 1035, section 4: an ID, recursion desired, one question, for an address.
	question := []byte{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for label := range strings.SplitSeq("server."+lab.Zone, ".") {
		question = append(append(question, byte(len(label))), label...)
	}
	_, err := exchange(ctx, h, nameServer, append(question, 0, 0, 1, 0, 1))
	return err
}

// exchange sends a question from a new socket and returns the answer.
func exchange(ctx context.Context, h *lab.Host, upstream string, question []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := h.DialContext(ctx, "udp4", upstream)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	if _, err := conn.Write(question); err != nil {
		return nil, err
	}
	answer := make([]byte, 4096)
	n, err := conn.Read(answer)
	return answer[:n], err
}
