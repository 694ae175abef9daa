package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

// patience bounds a start that does not succeed.
const patience = 3 * time.Minute

// startTimes are seconds since the first program was started, and processor
// seconds until the end.
type startTimes struct {
	API, Registered, Ready, Pod, CPU float64
}

func measureStarts(ctx context.Context, o options, r *results) error {
	for i := range o.repeat {
		for _, make := range []func(*lab.Host) subject{o.newKedge, o.newBaseline} {
			if err := measureStart(ctx, o, r, i, make); err != nil {
				return err
			}
		}
	}
	return nil
}

func (o options) newKedge(h *lab.Host) subject {
	return &kedgeServer{host: h, path: o.kedge, args: append([]string{"server"}, o.serverArgs...)}
}

func (o options) newBaseline(h *lab.Host) subject {
	return &baseline{host: h, path: o.upstream, kedge: o.kedge}
}

// measureStart takes one start on a new host.
func measureStart(ctx context.Context, o options, r *results, i int, build func(*lab.Host) subject) (err error) {
	l, err := lab.Up(ctx, lab.OneServer(), filepath.Join(o.out, fmt.Sprintf("start-%d", i), time.Now().Format("150405")))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	h := l.Host("server")
	s := build(h)
	if err := s.prepare(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, ok := s.(*kedgeServer); ok && o.profile {
		go keepProfile(ctx, h, "profile?seconds=10", filepath.Join(l.Out(), "start.pprof"))
	}
	t, err := timeStart(ctx, h, s)
	if o.profile {
		_ = pause(ctx, 8*time.Second)
	}
	if err != nil {
		return fmt.Errorf("start of %s (logs in %s): %w", s.name(), l.Out(), err)
	}
	s.stop()
	progress("start %d of %s: %+v", i+1, s.name(), t)
	r.Starts = append(r.Starts, start{s.name(), t})
	return nil
}

func timeStart(ctx context.Context, h *lab.Host, s subject) (t startTimes, err error) {
	cpu, err := cpuTime(h)
	if err != nil {
		return t, err
	}
	began := time.Now()
	since := func() float64 { return time.Since(began).Seconds() }
	if err := s.start(ctx); err != nil {
		return t, err
	}
	var c *kubernetes.Clientset
	if err := testx.Poll(ctx, func(ctx context.Context) (err error) {
		if c, err = client(s); err != nil {
			return err
		}
		return c.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	}); err != nil {
		return t, err
	}
	t.API = since()
	created := false
	err = testx.Poll(ctx, func(ctx context.Context) error {
		if !created {
			created = createPod(ctx, c, "first") == nil
		}
		if t.Ready == 0 {
			lookAtNode(ctx, c, h.Name(), since, &t)
		}
		pod, err := c.CoreV1().Pods("default").Get(ctx, "first", metav1.GetOptions{})
		if err != nil || pod.Status.Phase != corev1.PodRunning || t.Ready == 0 {
			return fmt.Errorf("the pod does not run: %w", err)
		}
		t.Pod = since()
		return nil
	})
	if err != nil {
		return t, err
	}
	used, err := cpuTime(h)
	t.CPU = (used - cpu).Seconds()
	return t, err
}

func lookAtNode(ctx context.Context, c kubernetes.Interface, name string, since func() float64, t *startTimes) {
	node, err := c.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return
	}
	if t.Registered == 0 {
		t.Registered = since()
	}
	for _, cond := range node.Status.Conditions {
		if cond.Type == corev1.NodeReady && cond.Status == corev1.ConditionTrue {
			t.Ready = since()
		}
	}
}

// createPod creates an ordinary pod, which waits for a node that is ready.
func createPod(ctx context.Context, c kubernetes.Interface, name string) error {
	pod := cluster.AppPod(name, "")
	pod.Spec.Tolerations = nil
	pod.Labels["bench"] = "pod"
	_, err := c.CoreV1().Pods("default").Create(ctx, pod, metav1.CreateOptions{})
	return err
}
