//go:build namespace

package apply_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/internal/testx"
)

// web lets everybody in to port 80 as far as change lets it.
func web(change func(*model.HostRule)) apply.Wish {
	w := friends()
	r := &w.Ruleset.Host.Ingress.Rules[0]
	r.Anybody, r.Peers = true, nil
	change(r)
	return w
}

func TestConnectionsAreCountedOverGenerations(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		hold := b.hold("80")
		limited := web(func(r *model.HostRule) {
			r.Connections = &model.ConnectionLimit{Max: 2, Per: model.PerSource}
		})
		b.apply(limited)
		talk := []net.Conn{hold(friend4), hold(friend4)}
		b.expect(friend4, node4, "80", "silent")
		b.expect(stranger4, node4, "80", "open")
		limited.Ruleset.Host.Ingress.DefaultFrom = "somebody else"
		if r := b.apply(limited); r.Way != apply.Generation {
			t.Fatalf("the way was %q", r.Way)
		}
		if !answers(talk[1]) {
			t.Error("the limit cut what was there")
		}
		if b.which == apply.Legacy {
			return // all of its rules are new ones whenever one is
		}
		b.expect(friend4, node4, "80", "silent")
		if got := b.counter("office/ingress/web").Limited; got == 0 {
			t.Error("no packet was counted as over the limit")
		}
		_ = talk[0].Close()
		// The other end closes, too, as soon as it has heard of it.
		testx.Eventually(t, 30*time.Second, "a place is free again", func(context.Context) error {
			if got := b.reaches(friend4, node4, "80"); got != "open" {
				return errors.New(got)
			}
			return nil
		})
	})
}

func TestRateIsKeptOverGenerations(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		b.answer("80")
		limited := web(func(r *model.HostRule) {
			r.Rate = &model.RateLimit{Count: 2, Seconds: 3600, Burst: 2, Per: model.PerSource}
		})
		b.apply(limited)
		b.expect(friend4, node4, "80", "open")
		limited.Ruleset.Host.Ingress.DefaultFrom = "somebody else"
		b.apply(limited)
		b.expect(friend4, node4, "80", "open")
		b.expect(friend4, node4, "80", "silent")
		b.expect(friend6, node6, "80", "open")
		b.expect(friend6, node6, "80", "open")
		b.expect(friend6, node6, "80", "silent")
	})
}

func TestFormerCountersAreComplete(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		b.answer("80")
		w := friends(friend4, friend6)
		b.apply(w)
		b.expect(friend4, node4, "80", "open")
		b.expect(friend6, node6, "80", "open")
		if got := b.counter("office/ingress/web").Packets; got != 2 {
			t.Errorf("%d packets were counted, want 2", got)
		}
		w.Ruleset.Host.Ingress.DefaultFrom = "somebody else"
		former := b.apply(w).Former
		i := slices.IndexFunc(former, func(c apply.Counter) bool { return c.Rule == "office/ingress/web" })
		if i < 0 || former[i].Packets != 2 || former[i].Bytes == 0 {
			t.Errorf("the former counters are %+v", former)
		}
		if got := b.counter("office/ingress/web").Packets; got != 0 {
			t.Errorf("the new generation begins with %d", got)
		}
	})
}

func TestDropsHaveTheNameOfTheRule(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		drops := make(chan apply.Drop, 100)
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- b.kernel.Drops(ctx, func(d apply.Drop) { drops <- d }) }()
		t.Cleanup(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
		b.apply(friends(friend4))
		late := time.After(within)
		for {
			b.expect(stranger4, node4, "80", "silent")
			select {
			case d := <-drops:
				if d.Rule != "default/office" || d.Verdict != model.Deny || d.To.String() != node4+":80" || d.In != "eth0" {
					t.Errorf("the drop is %+v", d)
				}
				return
			case <-late:
				t.Fatal("nobody told of a drop")
			default: // the reader may not have been there yet
			}
		}
	})
}

func TestCutEndsWhatMayNotLive(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		hold := b.hold("80")
		b.apply(friends(friend4, stranger4))
		stays, goes := hold(friend4), hold(stranger4)
		b.apply(friends(friend4))
		if !answers(goes) {
			t.Error("a connection ended though nobody cut it")
		}
		n, err := b.kernel.Cut(context.Background(), func(p model.Packet) bool {
			return p.Direction != model.Ingress || p.From.Addr().String() != stranger4
		})
		if err != nil || n != 1 {
			t.Errorf("%d flows were cut, want 1: %v", n, err)
		}
		if answers(goes) {
			t.Error("the connection goes on")
		}
		if !answers(stays) {
			t.Error("another connection was cut, too")
		}
	})
}

// answers tells whether the other end still echoes.
func answers(c net.Conn) bool {
	_ = c.SetDeadline(time.Now().Add(300 * time.Millisecond))
	if _, err := c.Write([]byte("hello\n")); err != nil {
		return false
	}
	_, err := c.Read(make([]byte, 100))
	return err == nil
}

func (b *bed) counter(rule string) apply.Counter {
	b.t.Helper()
	all, err := b.kernel.Counters()
	if err != nil {
		b.t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(c apply.Counter) bool { return c.Rule == rule })
	if i < 0 {
		b.t.Fatalf("no counter of %s in %+v", rule, all)
	}
	return all[i]
}

// hold listens and echoes, and returns what opens connections to it.
func (b *bed) hold(port string) func(from string) net.Conn {
	b.t.Helper()
	b.node.Do(func() {
		l, err := net.Listen("tcp", ":"+port)
		if err != nil {
			b.t.Error(err)
			return
		}
		b.t.Cleanup(func() { _ = l.Close() })
		go echoAll(l)
	})
	return func(from string) net.Conn {
		b.t.Helper()
		var c net.Conn
		b.beside.Do(func() {
			var err error
			d := net.Dialer{Timeout: within, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
			if c, err = d.Dial("tcp", net.JoinHostPort(node4, port)); err != nil {
				b.t.Error(err)
			}
		})
		if c == nil {
			b.t.FailNow()
		}
		b.t.Cleanup(func() { _ = c.Close() })
		return c
	}
}

func echoAll(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			buf := make([]byte, 1000)
			for {
				n, err := c.Read(buf)
				if err != nil {
					return
				}
				_, _ = c.Write(buf[:n])
			}
		}()
	}
}
