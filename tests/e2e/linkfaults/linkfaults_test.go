// Package linkfaults is the scenario in README.md.
package linkfaults

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
	corev1 "k8s.io/api/core/v1"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

const (
	edges = 4
	// noticed and restored bound what must happen at all.
	noticed, restored = 90 * time.Second, 2 * time.Minute
)

func TestLinkSurvivesFaults(t *testing.T) {
	c := cluster.New(t, lab.ServerAndEdges(edges), cluster.Options{URL: "https://server." + lab.Zone + ":6443"})
	s := start(t, c)
	containers := c.Containers(t)
	before := s.leaks(t)

	s.together(t, s.cut, s.blackHole, s.mutedOut, s.mutedIn)
	s.together(t, s.thin, s.lossy, s.hostMoved, s.rebound)
	s.together(t, s.siteMoved, s.cycles)
	s.serverKilled(t)
	s.serverMoved(t)

	s.report(t)
	moved := time.Now()
	for _, a := range c.Agents {
		s.usable(t, a)
		// What the node's own components say to the API takes another way than the link.
		c.WaitAlive(t, a, moved, "web-"+a.Name())
	}
	c.SameContainers(t, containers)
	s.noLeaks(t, before)
}

// scene is a cluster with a pod on each node.
type scene struct {
	c    *cluster.Cluster
	pods map[string]*corev1.Pod

	mu   sync.Mutex
	rows []row
}

func start(t *testing.T, c *cluster.Cluster) *scene {
	s := &scene{c: c, pods: map[string]*corev1.Pod{}}
	for _, n := range append([]*cluster.Node{c.Server}, c.Agents...) {
		c.CreatePod(t, cluster.AppPod("web-"+n.Name(), n.Name()))
	}
	for _, n := range append([]*cluster.Node{c.Server}, c.Agents...) {
		s.pods[n.Name()] = &c.WaitPods(t, "default", "app=web-"+n.Name(), 1)[0]
	}
	for _, a := range c.Agents {
		s.usable(t, a)
	}
	return s
}

// together does each to an edge of its own, all at the same time.
func (s *scene) together(t *testing.T, faults ...func(*testing.T, *cluster.Node)) {
	t.Helper()
	var wg sync.WaitGroup
	for i, fault := range faults {
		wg.Go(func() { fault(t, s.c.Agents[i]) })
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

func uplink(s *scene, n *cluster.Node) *lab.Link { return site(s, n).Uplink }

func site(s *scene, n *cluster.Node) *lab.SiteNet {
	return s.c.Lab.Site("site" + n.Name()[len("edge"):])
}

func (s *scene) cut(t *testing.T, n *cluster.Node) {
	l := uplink(s, n)
	s.dead(t, "cut (carrier lost at the provider)", n, l.Cut, l.Heal)
}

func (s *scene) blackHole(t *testing.T, n *cluster.Node) {
	l := uplink(s, n)
	s.dead(t, "black hole", n, l.BlackHole, l.Heal)
}

func (s *scene) mutedOut(t *testing.T, n *cluster.Node) {
	l := uplink(s, n)
	s.dead(t, "half-open, the node is not heard", n, l.MuteOut, l.Heal)
}

func (s *scene) mutedIn(t *testing.T, n *cluster.Node) {
	l := uplink(s, n)
	s.dead(t, "half-open, the node hears nothing", n, l.MuteIn, l.Heal)
}

func (s *scene) thin(t *testing.T, n *cluster.Node) {
	l := uplink(s, n)
	s.bad(t, "1 Mbit/s, queue of 300 ms", n, func() error { return l.Slow(1_000_000, 300*time.Millisecond) }, l.Heal)
}

func (s *scene) lossy(t *testing.T, n *cluster.Node) {
	l := uplink(s, n)
	s.bad(t, "30 % loss in each direction", n, func() error { return l.Loss(30) }, l.Heal)
}

func (s *scene) hostMoved(t *testing.T, n *cluster.Node) {
	s.moved(t, "node gets another address", n, func() error { return n.Host.Readdress(netip.MustParseAddr("192.168.1.77")) })
}

func (s *scene) siteMoved(t *testing.T, n *cluster.Node) {
	s.moved(t, "site gets another public address", n, func() error {
		return site(s, n).Readdress(netip.MustParseAddr("198.51.100.222"))
	})
}

func (s *scene) rebound(t *testing.T, n *cluster.Node) {
	s.moved(t, "gateway forgets its mappings", n, site(s, n).Rebind)
}

// cycles cuts the same link again and again.
func (s *scene) cycles(t *testing.T, n *cluster.Node) {
	times, err := strconv.Atoi(os.Getenv("KEDGE_CYCLES"))
	if err != nil {
		times = 1
	}
	for range times {
		s.blackHole(t, n)
	}
}

func (s *scene) serverKilled(t *testing.T) {
	t.Helper()
	s.allMoved(t, "server killed and started", func() error {
		return errors.Join(s.c.Server.Kill(), s.c.Server.Start())
	})
}

func (s *scene) serverMoved(t *testing.T) {
	t.Helper()
	s.allMoved(t, "server gets another address, by DNS", func() error {
		addr := netip.MustParseAddr("203.0.113.9")
		s.c.Lab.SetName("server", addr)
		return s.c.Server.Host.Readdress(addr)
	})
}

// allMoved is moved for all edges at once.
func (s *scene) allMoved(t *testing.T, fault string, do func() error) {
	t.Helper()
	done := sync.OnceValue(do)
	var wg sync.WaitGroup
	for i, a := range s.c.Agents {
		what := fault
		if i > 0 {
			what = "" // one row is enough, all must work
		}
		wg.Go(func() { s.moved(t, what, a, done) })
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// usable waits until kubelet and pods of the node can be reached.
func (s *scene) usable(t *testing.T, n *cluster.Node) {
	t.Helper()
	s.await(t, n.Name()+" is usable", restored, func(ctx context.Context) error {
		return errors.Join(s.kubelet(ctx, n), s.podPing(ctx, n))
	})
}

// await is testx.Eventually for use in goroutines of the test: it does not end them.
func (s *scene) await(t *testing.T, what string, within time.Duration, probe func(context.Context) error) time.Time {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	// The last try is not cut off: its error says what is wrong.
	if err := testx.Poll(ctx, func(context.Context) error { return probe(t.Context()) }); err != nil {
		t.Errorf("%s: not within %s: %v", what, within, err)
	}
	return time.Now()
}

// kubelet asks the node's kubelet for a line of the log of a pod, which needs the link.
func (s *scene) kubelet(ctx context.Context, n *cluster.Node) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	line := int64(1)
	return s.c.Client.CoreV1().Pods("default").GetLogs("web-"+n.Name(), &corev1.PodLogOptions{TailLines: &line}).Do(ctx).Error()
}

// podPing asks the node's pod from the pod beside the server, and the other way.
func (s *scene) podPing(ctx context.Context, n *cluster.Node) error {
	pair := [2]*corev1.Pod{s.pods[s.c.Server.Name()], s.pods[n.Name()]}
	for i, from := range pair {
		to := pair[1-i].Status.PodIP
		checks := []cluster.Check{{Kind: "hostname", To: to + ":8080", Seconds: 2}, {Kind: "ping", To: to, Bytes: 56, Seconds: 2}}
		results, err := s.c.Checks(ctx, from, checks)
		if err != nil {
			return err
		}
		for j, r := range results {
			if !r.Worked {
				return fmt.Errorf("%s from pod %s: %s", checks[j].Kind, from.Name, r.Error)
			}
		}
	}
	return nil
}
