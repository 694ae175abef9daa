// Package bandwidthlive is the scenario in README.md.
package bandwidthlive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/kedge-io/kedge/agent/bandwidth/snapshot"
	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
	"github.com/kedge-io/kedge/tests/traffic/bed"
	"github.com/kedge-io/kedge/tests/traffic/flow"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

const (
	mega   = 1e6
	prefix = "bandwidth.kedge.io/"
	// calmRate is what the datagrams need, and least the lowest ceiling.
	calmRate = 2 * mega
	least    = 5 * mega
)

// scene is the cluster with its two pods.
type scene struct {
	*bed.Bed
	node         *cluster.Node
	greedy, calm *corev1.Pod
}

func TestChangesAreLive(t *testing.T) {
	b := bed.Up(t, bed.Edge{Uplink: "1G"})
	s := &scene{Bed: b, node: b.Agents[0]}
	b.WaitShaped(t, s.node)
	before, err := bed.Objects(t.Context(), s.node.Host)
	cluster.Must(t, err)
	pods := b.Create(t, limited("greedy", s.node), limited("calm", s.node))
	s.greedy, s.calm = pods[0], pods[1]
	t.Run("annotations", s.annotations)
	t.Run("policy", s.policy)
	t.Run("agent restarts", s.restarts)
	t.Run("without the server", s.offline)
	t.Run("pods are deleted", func(t *testing.T) {
		with, err := bed.Objects(t.Context(), s.node.Host)
		if err != nil || len(with) <= len(before) {
			t.Fatalf("%d things in the kernel without the pods, %d with them: %v", len(before), len(with), err)
		}
		for _, p := range pods {
			cluster.Must(t, b.Client.CoreV1().Pods("default").Delete(t.Context(), p.Name, metav1.DeleteOptions{}))
		}
		bed.WaitObjects(t, s.node.Host, before)
		b.WaitShaped(t, s.node)
	})
}

func limited(name string, n *cluster.Node) *corev1.Pod {
	p := bed.Pod(name, n.Name(), "app")
	p.Annotations[prefix+"egress-max"], p.Annotations[prefix+"ingress-max"] = "20M", "20M"
	return p
}

// transfers begins to send in both directions, and returns what waits for the end and
// looks whether all came as it was sent.
func (s *scene) transfers(t *testing.T, seconds float64) (finish func() []flow.Result) {
	var tasks []bed.Task
	for _, in := range []bool{false, true} {
		tasks = append(tasks,
			bed.Task{End: s.Container(s.greedy, 0), Job: flow.Job{Kind: flow.TCP, To: s.Far(), In: in, Streams: 2, Seconds: seconds}},
			bed.Task{End: s.Container(s.calm, 0), Job: flow.Job{Kind: flow.UDP, To: s.Far(), In: in, Seconds: seconds, Rate: calmRate, Size: 800}})
	}
	done := make(chan []flow.Result, 1)
	go func() { done <- bed.Together(t, tasks...) }()
	return func() []flow.Result {
		t.Helper()
		r := <-done
		for i, one := range r {
			t.Logf("%s in=%t: %.1f Mbit/s, longest gap %s, lost %d of %d", tasks[i].Job.Kind, tasks[i].Job.In,
				one.Mean(0, time.Duration(seconds*float64(time.Second)))/mega, one.Gap, one.Lost(), one.Sent)
			if one.Error != "" || one.Lost() != 0 {
				t.Errorf("%s in=%t: lost %d of %d: %s", tasks[i].Job.Kind, tasks[i].Job.In, one.Lost(), one.Sent, one.Error)
			}
		}
		return r
	}
}

// settle is how long a transfer goes on beside changes before and after them.
func settle() { <-time.After(2 * time.Second) }

// wants waits until both pods have the ceiling.
func (s *scene) wants(t *testing.T, ceil uint64) {
	t.Helper()
	s.WaitCeiling(t, s.node, "greedy", ceil)
	s.WaitCeiling(t, s.node, "calm", ceil)
}

// holds measures that the ceiling is that.
func (s *scene) holds(t *testing.T, ceil float64) {
	t.Helper()
	const seconds = 4
	for _, in := range []bool{false, true} {
		bed.Rates(t, func() []bed.Rate {
			r := bed.Whole(t, bed.Task{End: s.Container(s.greedy, 0), Job: flow.Job{Kind: flow.TCP, To: s.Far(), In: in, Streams: 2, Seconds: seconds}})
			return []bed.Rate{bed.Around(fmt.Sprintf("in=%t", in), r[0].Mean(time.Second, seconds*time.Second), bed.Payload(ceil), 15)}
		})
	}
}

func changes(t *testing.T) int {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("KEDGE_CHANGES"), "60"))
	cluster.Must(t, err)
	return n
}

func (s *scene) annotations(t *testing.T) {
	n := changes(t)
	const pause = 50 * time.Millisecond
	finish := s.transfers(t, 8+float64(n)*(pause+20*time.Millisecond).Seconds())
	settle()
	last := uint64(0)
	for i := range n {
		last = least + uint64(i*7919%3000)*8000
		text := strconv.FormatUint(last, 10)
		for _, p := range []*corev1.Pod{s.greedy, s.calm} {
			s.Annotate(t, p, map[string]string{prefix + "egress-max": text, prefix + "ingress-max": text})
		}
		<-time.After(pause)
	}
	s.wants(t, last)
	finish()
	s.holds(t, float64(last))
}

// policies are applied one after the other; the last one is removed.
const policyText = `
apiVersion: edge.kedge.io/v1alpha1
kind: BandwidthPolicy
metadata: {name: all, namespace: default}
spec:
  podSelector: {matchExpressions: [{key: app, operator: In, values: [greedy, calm]}]}
  egress: {max: %[1]s}
  ingress: {max: %[1]s}
`

func (s *scene) policy(t *testing.T) {
	for _, p := range []*corev1.Pod{s.greedy, s.calm} {
		s.Annotate(t, p, map[string]string{prefix + "egress-max": "", prefix + "ingress-max": ""})
	}
	finish := s.transfers(t, 15)
	settle()
	for _, mbit := range []uint64{30, 10, 40, 15} {
		s.Apply(t, fmt.Sprintf(policyText, fmt.Sprint(mbit, "M")))
		s.wants(t, mbit*mega)
	}
	finish()
	s.holds(t, 15*mega)
	testx.Eventually(t, cluster.Patience, "the policy says that it is applied to two pods", func(ctx context.Context) error {
		out, err := s.TryKubectl(ctx, "get", "bandwidthpolicy", "all", "-o", "jsonpath={.status.matched} {.status.applied} {.status.refused}")
		if err == nil && out != "2 2 0" {
			err = fmt.Errorf("matched, applied, refused: %q", out)
		}
		return err
	})
	for _, p := range []*corev1.Pod{s.greedy, s.calm} {
		s.Annotate(t, p, map[string]string{prefix + "egress-max": "20M", prefix + "ingress-max": "20M"})
	}
	s.wants(t, 20*mega) // the pod's own word counts more
	s.Kubectl(t, "delete", "bandwidthpolicy", "all")
}

// classes are the handles and bytes of a pod's classes by device.
func (s *scene) classes(t *testing.T, pod string) map[string]snapshot.Class {
	t.Helper()
	all := map[string]snapshot.Class{}
	testx.Eventually(t, cluster.Patience, "the node tells of pod "+pod, func(ctx context.Context) error {
		n, err := s.node.Bandwidth(ctx)
		if err != nil {
			return err
		}
		p := bed.FindPod(n, pod)
		if p == nil || len(p.Classes) == 0 {
			return errors.New("it does not")
		}
		for _, c := range p.Classes {
			all[fmt.Sprint(c.Device, " local=", c.Local)] = c
		}
		return nil
	})
	return all
}

func (s *scene) restarts(t *testing.T) {
	for name, end := range map[string]func() error{
		"stopped": func() error { return s.node.Stop(t.Context()) },
		"killed":  s.node.Kill,
	} {
		t.Run(name, func(t *testing.T) {
			before := s.classes(t, "greedy")
			finish := s.transfers(t, 12)
			settle()
			cluster.Must(t, end())
			settle()
			cluster.Must(t, s.node.Start())
			s.WaitNodes(t)
			s.wants(t, 20*mega)
			r := finish()
			for _, one := range []flow.Result{r[0], r[2]} {
				if peak := one.Peak(time.Second); peak > 1.4*20*mega {
					t.Errorf("%.1f Mbit/s passed in one second", peak/mega)
				}
			}
			s.same(t, before, s.classes(t, "greedy"))
		})
	}
}

// same compares the classes of a pod.
func (s *scene) same(t *testing.T, before, after map[string]snapshot.Class) {
	t.Helper()
	if len(before) != len(after) {
		t.Errorf("%d classes before, %d after", len(before), len(after))
	}
	for name, b := range before {
		a := after[name]
		if a.Handle != b.Handle || a.Counters.Bytes < b.Counters.Bytes {
			t.Errorf("%s was %s with %d bytes, is %s with %d", name, b.Handle, b.Counters.Bytes, a.Handle, a.Counters.Bytes)
		}
	}
}

// offline goes on without the server.
func (s *scene) offline(t *testing.T) {
	cluster.Must(t, s.Server.Kill())
	s.holds(t, 20*mega)
	cluster.Must(t, s.node.Kill())
	s.holds(t, 20*mega)
	cluster.Must(t, s.node.Start())
	s.wants(t, 20*mega)
	s.holds(t, 20*mega)
	cluster.Must(t, s.Server.Start())
	s.Connect(t)
	s.WaitNodes(t)
	s.Annotate(t, s.greedy, map[string]string{prefix + "egress-max": "10M", prefix + "ingress-max": "10M"})
	s.WaitCeiling(t, s.node, "greedy", 10*mega)
	s.holds(t, 10*mega)
}
