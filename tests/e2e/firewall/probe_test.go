package firewall

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

// What becomes of a packet.
const (
	passes  = "passes"
	dropped = "dropped"
	refused = "refused"
)

// wait is how long an answer may take before its packet counts as dropped; one that
// is to come is tried again for as long as settles.
const (
	wait    = time.Second
	settles = 45 * time.Second
)

// probe is a line "WHO PROTOCOL TO:PORT OUTCOME".
type probe struct{ who, protocol, to, want string }

func parse(t *testing.T, table string) []probe {
	t.Helper()
	var all []probe
	for line := range strings.Lines(table) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		if len(words) != 4 {
			t.Fatalf("%q: want WHO PROTOCOL TO:PORT OUTCOME", line)
		}
		all = append(all, probe{words[0], words[1], words[2], words[3]})
	}
	return all
}

func (p probe) String() string { return p.who + " " + p.protocol + " " + p.to }

// expect sends all packets of a table at once.
func (s *scene) expect(t *testing.T, table string) {
	t.Helper()
	probes := parse(t, table)
	got := make([]string, len(probes))
	var all sync.WaitGroup
	for i, p := range probes {
		all.Go(func() { got[i] = s.settle(t.Context(), p) })
	}
	all.Wait()
	for i, p := range probes {
		t.Run(p.String(), func(t *testing.T) {
			if got[i] != p.want {
				t.Errorf("got %s, want %s", got[i], p.want)
			}
		})
	}
	for _, name := range []string{"server", "edge1"} {
		if lines, err := s.Node(name).FirewallDifferences(t.Context()); err != nil || lines != "" {
			t.Errorf("the kernel of %s differs: %s, %v", name, lines, err)
		}
	}
}

// settle tries until the outcome is as wanted. What must not pass has one try only,
// since the firewall is enforced when it is asked.
func (s *scene) settle(ctx context.Context, p probe) (got string) {
	ctx, cancel := context.WithTimeout(ctx, settles)
	defer cancel()
	_ = testx.Poll(ctx, func(ctx context.Context) error {
		if got = s.send(ctx, p); got != p.want && p.want == passes {
			return errors.New(got)
		}
		return nil
	})
	return got
}

func (s *scene) send(ctx context.Context, p probe) string {
	if strings.Contains(p.who, "@") {
		return s.sendFromPod(ctx, p)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	c, err := s.dial(ctx, p.who, p.protocol, p.to)
	if err != nil {
		return outcome(err)
	}
	defer c.Close()
	if p.protocol == "tcp" {
		return passes
	}
	return outcome(ask(c, "hello", wait))
}

// ask sends something and waits for any answer.
func ask(c net.Conn, text string, wait time.Duration) error {
	_ = c.SetDeadline(time.Now().Add(wait))
	// The kernel tells a sender that its packet was dropped on the way out; what it
	// answers to a refused one waits behind that.
	if _, err := c.Write([]byte(text)); err != nil && !errors.Is(err, syscall.EPERM) {
		return err
	}
	_, err := c.Read(make([]byte, 1500))
	return err
}

func (s *scene) sendFromPod(ctx context.Context, p probe) string {
	results, err := s.Checks(ctx, s.pods[p.who], []cluster.Check{{Kind: p.protocol, To: s.address(p.to), Bytes: 100, Seconds: int(wait / time.Second)}})
	if err != nil {
		return err.Error()
	}
	if results[0].Worked {
		return passes
	}
	text := results[0].Error
	switch {
	case strings.Contains(text, "refused"):
		return refused
	case slices.ContainsFunc([]string{"timeout", "deadline", "not permitted"}, func(part string) bool { return strings.Contains(text, part) }):
		return dropped
	}
	return text
}

func outcome(err error) string {
	var late net.Error
	switch {
	case err == nil:
		return passes
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return refused
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.EPERM), errors.As(err, &late) && late.Timeout():
		return dropped
	}
	return fmt.Sprint(err)
}
