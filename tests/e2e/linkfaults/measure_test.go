package linkfaults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/tests/lab/cluster"
)

// row is what one fault did. Times are from the fault, those of being back from its end.
type row struct {
	fault               string
	node, server        time.Duration // until each end knew; negative where it had no need to
	link, kubelet, pods time.Duration // until back
	during              string
}

// held is how long a bad link stays bad.
const held = 15 * time.Second

// down and up look for what the ends say about their link.
func (s *scene) down(n *cluster.Node, after time.Time) (node, server time.Time, err error) {
	node, err1 := n.Logged(after, `msg="tunnel down"`)
	server, err2 := s.c.Server.Logged(after, `msg="tunnel down"`, "component=tunnel-hub", "node="+n.Name()+" ")
	return node, server, errors.Join(err1, err2)
}

func (s *scene) up(n *cluster.Node, after time.Time) (time.Time, error) {
	return s.c.Server.Logged(after, `msg="tunnel up"`, "node="+n.Name()+" ")
}

// dead is a fault that ends all traffic: both ends notice, and after heal everything is back.
func (s *scene) dead(t *testing.T, fault string, n *cluster.Node, do, heal func() error) {
	t.Helper()
	r := row{fault: fault}
	begin := time.Now()
	if err := do(); err != nil {
		t.Error(err)
		return
	}
	s.await(t, fault+": both ends know", noticed, func(context.Context) error {
		node, server, err := s.down(n, begin)
		r.node, r.server = node.Sub(begin), server.Sub(begin)
		return err
	})
	if err := heal(); err != nil {
		t.Error(err)
		return
	}
	s.back(t, &r, n, time.Now())
}

// moved is a fault that lets new connections through at once.
func (s *scene) moved(t *testing.T, fault string, n *cluster.Node, do func() error) {
	t.Helper()
	r := row{fault: fault}
	begin := time.Now()
	if err := do(); err != nil {
		t.Error(err)
		return
	}
	s.back(t, &r, n, begin)
	node, server, err := s.down(n, begin)
	r.node, r.server = -1, -1 // a server that was killed, or an old session that a newer one replaced, says nothing
	if !node.IsZero() {
		r.node = node.Sub(begin)
	}
	if !server.IsZero() {
		r.server = server.Sub(begin)
	}
	_ = err
	s.replace(r)
}

// back waits until the link is up again after the time, and everything works.
func (s *scene) back(t *testing.T, r *row, n *cluster.Node, from time.Time) {
	t.Helper()
	s.await(t, r.fault+": the link is up", restored, func(context.Context) error {
		at, err := s.up(n, from)
		r.link = at.Sub(from)
		return err
	})
	r.kubelet = s.await(t, r.fault+": kubelet is back", restored, func(ctx context.Context) error { return s.kubelet(ctx, n) }).Sub(from)
	r.pods = s.await(t, r.fault+": pods are back", restored, func(ctx context.Context) error { return s.podPing(ctx, n) }).Sub(from)
	s.replace(*r)
}

// replace keeps the latest row of a fault.
func (s *scene) replace(r row) {
	if r.fault == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.IndexFunc(s.rows, func(o row) bool { return o.fault == r.fault }); i >= 0 {
		s.rows[i] = r
		return
	}
	s.rows = append(s.rows, r)
}

// bad is a fault through which the link has to work on, however badly: kubelet answers meanwhile.
func (s *scene) bad(t *testing.T, fault string, n *cluster.Node, do, heal func() error) {
	t.Helper()
	begin := time.Now()
	if err := do(); err != nil {
		t.Error(err)
		return
	}
	asked, answered, took := 0, 0, []time.Duration{}
	for time.Since(begin) < held && t.Context().Err() == nil {
		asked++
		start := time.Now()
		if s.kubelet(t.Context(), n) == nil {
			answered++
			took = append(took, time.Since(start))
		}
	}
	s.await(t, fault+": kubelet answers meanwhile", noticed, func(ctx context.Context) error { return s.kubelet(ctx, n) })
	s.await(t, fault+": pods answer meanwhile", noticed, func(ctx context.Context) error { return s.podPing(ctx, n) })
	r := row{fault: fault, node: -1, server: -1}
	if node, server, err := s.down(n, begin); err == nil || !node.IsZero() || !server.IsZero() {
		r.during = "link replaced; "
	}
	slices.Sort(took)
	r.during += fmt.Sprintf("kubelet answered %d of %d", answered, asked)
	if len(took) > 0 {
		r.during += fmt.Sprintf(", median %s, worst %s", took[len(took)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
	}
	if err := heal(); err != nil {
		t.Error(err)
		return
	}
	from := time.Now()
	r.link = -1
	r.kubelet = s.await(t, fault+": kubelet is back", restored, func(ctx context.Context) error { return s.kubelet(ctx, n) }).Sub(from)
	r.pods = s.await(t, fault+": pods are back", restored, func(ctx context.Context) error { return s.podPing(ctx, n) }).Sub(from)
	s.replace(r)
}

// report prints the table and leaves it beside the logs.
func (s *scene) report(t *testing.T) {
	t.Helper()
	var b strings.Builder
	b.WriteString("| fault | node notices | server notices | link up again | kubelet | pods | meanwhile |\n|---|---|---|---|---|---|---|\n")
	for _, r := range s.rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", r.fault, show(r.node), show(r.server), show(r.link), show(r.kubelet), show(r.pods), r.during)
	}
	t.Logf("times from the fault, those of being back from its end:\n%s", b.String())
	cluster.Must(t, os.WriteFile(filepath.Join(s.c.Lab.Out(), "faults.md"), []byte(b.String()), 0o644))
}

func show(d time.Duration) string {
	if d < 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// leaks counts the goroutines of the link on every node.
func (s *scene) leaks(t *testing.T) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, n := range append([]*cluster.Node{s.c.Server}, s.c.Agents...) {
		count, err := n.Goroutines(t.Context(), "kedge-io/kedge/tunnel/")
		cluster.Must(t, err)
		counts[n.Name()] = count
	}
	return counts
}

// noLeaks waits until no node has more goroutines of the link than before, but for a few that come
// and go, and no stream.
func (s *scene) noLeaks(t *testing.T, before map[string]int) {
	t.Helper()
	const passing = 6
	for _, n := range append([]*cluster.Node{s.c.Server}, s.c.Agents...) {
		s.await(t, "nothing is left open on "+n.Name(), restored, func(ctx context.Context) error {
			now, err := n.Goroutines(ctx, "kedge-io/kedge/tunnel/")
			if err != nil {
				return err
			}
			if now > before[n.Name()]+passing {
				return fmt.Errorf("%d goroutines of the link, %d before the faults", now, before[n.Name()])
			}
			links, err := n.Links(ctx)
			if err != nil {
				return err
			}
			for _, l := range links.Links {
				if !l.Up || l.Streams > passing {
					return fmt.Errorf("link to %s: up %t, %d streams: %s", l.Peer, l.Up, l.Streams, l.LastError)
				}
			}
			return nil
		})
	}
}
