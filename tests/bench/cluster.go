package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
)

// member is a host that is looked at while it idles.
type member struct {
	subject string
	host    *lab.Host
}

// measureCluster brings up a server with an agent, and the baseline beside
// them, lets them idle, and then loads one after the other.
func measureCluster(ctx context.Context, o options, r *results) (err error) {
	topology := lab.ServerAndEdges(1)
	topology.Sites = append(topology.Sites, lab.Site{Name: "base", Public: true, Hosts: []string{"base"}})
	l, err := lab.Up(ctx, topology, filepath.Join(o.out, "cluster", time.Now().Format("150405")))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	for _, h := range l.Hosts() {
		if err := mountDisk(ctx, h); err != nil {
			return err
		}
	}
	server, base := o.newKedge(l.Host("server")), o.newBaseline(l.Host("base"))
	subjects := []subject{server, base}
	hostOf := map[string]string{server.name(): "server", base.name(): "base"}
	for _, s := range subjects {
		if err := s.prepare(ctx); err != nil {
			return err
		}
		if err := forget(l.Host(hostOf[s.name()])); err != nil {
			return err
		}
		if err := s.start(ctx); err != nil {
			return err
		}
		defer s.stop()
		if err := awaitNodes(ctx, s, 1); err != nil {
			return err
		}
	}
	if slices.Contains(o.only, "idle") {
		agent, err := joinAgent(ctx, o, l)
		if err != nil {
			return err
		}
		defer agent.stop()
		if err := awaitNodes(ctx, server, 2); err != nil {
			return fmt.Errorf("agent (logs in %s): %w", l.Out(), err)
		}
		members := []member{{"kedge server and node", l.Host("server")}, {"kedge agent", l.Host("edge1")}, {"separate processes", l.Host("base")}}
		if err := measureIdle(ctx, o, r, l, members); err != nil {
			return err
		}
	}
	if !slices.Contains(o.only, "load") {
		return nil
	}
	// Pods of the load belong on the server's own node.
	if err := cordon(ctx, server, "edge1"); err != nil {
		return err
	}
	return measureLoad(ctx, o, r, subjects)
}

// cordon keeps new pods away from a node, if there is one of that name.
func cordon(ctx context.Context, s subject, node string) error {
	c, err := client(s)
	if err != nil {
		return err
	}
	_, err = c.CoreV1().Nodes().Patch(ctx, node, types.MergePatchType, []byte(`{"spec":{"unschedulable":true}}`), metav1.PatchOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func joinAgent(ctx context.Context, o options, l *lab.Lab) (*kedgeServer, error) {
	server, edge := l.Host("server"), l.Host("edge1")
	var token string
	err := testx.Poll(ctx, func(ctx context.Context) error {
		out, text, err := server.Run(ctx, "/usr/local/bin/kedge", "token", "create")
		if err != nil {
			return fmt.Errorf("make a token: %w: %s", err, text)
		}
		lines := strings.Split(strings.TrimSpace(out), "\n")
		token = lines[len(lines)-1]
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := edge.WriteFile("/etc/kedge/token", []byte(token+"\n"), 0o600); err != nil {
		return nil, err
	}
	a := &kedgeServer{host: edge, path: o.kedge, args: []string{"agent", "--server", "https://" + server.IP() + ":6443", "--token-file", "/etc/kedge/token"}}
	if err := a.prepare(ctx); err != nil {
		return nil, err
	}
	if err := forget(edge); err != nil {
		return nil, err
	}
	return a, a.start(ctx)
}

func awaitNodes(ctx context.Context, s subject, n int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return testx.Poll(ctx, func(ctx context.Context) error {
		c, err := client(s)
		if err != nil {
			return err
		}
		if got := readyNodes(ctx, c); got != n {
			return fmt.Errorf("%s: %d nodes are Ready, want %d", s.name(), got, n)
		}
		return nil
	})
}

func readyNodes(ctx context.Context, c kubernetes.Interface) int {
	nodes, err := c.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return 0
	}
	n := 0
	for _, node := range nodes.Items {
		for _, cond := range node.Status.Conditions {
			if cond.Type == corev1.NodeReady && cond.Status == corev1.ConditionTrue {
				n++
			}
		}
	}
	return n
}

func measureIdle(ctx context.Context, o options, r *results, l *lab.Lab, members []member) error {
	progress("idle for %s, then %s of counting", o.settle, o.watch)
	if err := pause(ctx, o.settle); err != nil {
		return err
	}
	before := map[string]counted{}
	busy := map[string]time.Duration{}
	for _, m := range members {
		c, err := count(m.host, l.Out())
		if err != nil {
			return err
		}
		before[m.subject] = c
		if busy[m.subject], err = cpuTime(m.host); err != nil {
			return err
		}
	}
	if err := pause(ctx, o.watch); err != nil {
		return err
	}
	for _, m := range members {
		c, err := count(m.host, l.Out())
		if err != nil {
			return err
		}
		w := between(m.subject, before[m.subject], c)
		used, err := cpuTime(m.host)
		if err != nil {
			return err
		}
		programs, err := memoryOf(m.host)
		if err != nil {
			return err
		}
		// Last, because making a profile takes memory.
		if o.profile && m.host.Name() != "base" {
			keepProfile(ctx, m.host, "heap", filepath.Join(l.Out(), m.host.Name()+".heap.pprof"))
			keepProfile(ctx, m.host, "goroutine?debug=2", filepath.Join(l.Out(), m.host.Name()+".goroutines"))
		}
		r.Idle = append(r.Idle, idle{m.subject, programs, w, (used - busy[m.subject]).Seconds() / w.Seconds})
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
