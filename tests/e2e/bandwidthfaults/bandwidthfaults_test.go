// Package bandwidthfaults is the scenario in README.md.
package bandwidthfaults

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
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
	limit  = 20 * mega
)

// scene is the cluster with a pod that has a ceiling and one whose container has it.
type scene struct {
	*bed.Bed
	node *cluster.Node
	pods []*corev1.Pod
	// steady is what the kernel has with these pods.
	steady []string
	// seen are the programs and maps that were in use at some time.
	seen objects
}

func TestKernelIsAsPlannedAfterEveryFault(t *testing.T) {
	b := bed.Up(t, bed.Edge{Uplink: "200M"})
	s := &scene{Bed: b, node: b.Agents[0], seen: objects{map[ebpf.ProgramID]bool{}, map[ebpf.MapID]bool{}}}
	s.pods = b.Create(t, limited("whole"), contained("inside"))
	s.WaitCeiling(t, s.node, "whole", limit)
	var err error
	s.steady, err = bed.Objects(t.Context(), s.node.Host)
	cluster.Must(t, err)
	s.remember(t)
	t.Run("killed at random moments", s.kills)
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) { s.fault(t, f) })
	}
	t.Run("the uplink vanishes", s.uplinkVanishes)
	t.Run("a pod's link is deleted", s.linkDeleted)
	t.Run("bad annotations", s.badAnnotations)
	t.Run("contradictory policies", s.contradiction)
	t.Run("power is lost", s.powerLost)
	t.Run("a device cannot be made", s.conflict)
	t.Run("nothing is left", s.nothingLeft)
}

func limited(name string) *corev1.Pod {
	p := bed.Pod(name, "edge1", "app")
	p.Annotations[prefix+"egress-max"], p.Annotations[prefix+"ingress-max"] = "20M", "20M"
	return p
}

func contained(name string) *corev1.Pod {
	p := bed.Pod(name, "edge1", "app", "other")
	p.Annotations[prefix+"container.app.egress-max"], p.Annotations[prefix+"container.app.ingress-max"] = "20M", "20M"
	return p
}

// holds looks whether both have their ceiling, in both directions at once: what acknowledges one is
// part of the other.
func (s *scene) holds(t *testing.T) {
	t.Helper()
	const seconds = 3
	var tasks []bed.Task
	for _, in := range []bool{false, true} {
		for _, p := range s.pods {
			tasks = append(tasks, bed.Task{End: s.Container(p, 0), Job: flow.Job{Kind: flow.TCP, To: s.Far(), In: in, Streams: 2, Seconds: seconds}})
		}
	}
	bed.Rates(t, func() (rates []bed.Rate) {
		for i, one := range bed.Whole(t, tasks...) {
			what := fmt.Sprintf("%s in=%t", s.pods[i%len(s.pods)].Name, tasks[i].Job.In)
			rates = append(rates, bed.Around(what, one.Mean(time.Second, seconds*time.Second), bed.Payload(limit), 20))
		}
		return rates
	})
}

// kills ends the agent while things change.
func (s *scene) kills(t *testing.T) {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("KEDGE_KILLS"), "5"))
	cluster.Must(t, err)
	for i := range n {
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.churn(ctx, i)
		}()
		<-time.After(time.Duration(rand.N(int64(1500 * time.Millisecond))))
		cluster.Must(t, s.node.Kill())
		<-time.After(time.Duration(rand.N(int64(200 * time.Millisecond))))
		stop()
		<-done
		cluster.Must(t, s.node.Start())
		s.WaitShaped(t, s.node)
		s.remember(t)
	}
	s.restore(t)
	s.holds(t)
}

// churn changes annotations, and makes and deletes a pod, until ctx ends.
func (s *scene) churn(ctx context.Context, round int) {
	pods := s.Client.CoreV1().Pods("default")
	now := int64(0)
	extra := limited(fmt.Sprint("extra", round))
	_, _ = pods.Create(ctx, extra, metav1.CreateOptions{})
	for ctx.Err() == nil {
		rate := fmt.Sprintf("%dM", 5+rand.N(40))
		patch := fmt.Sprintf(`{"metadata":{"annotations":{"%[1]segress-max":"%[2]s","%[1]singress-max":"%[2]s"}}}`, prefix, rate)
		_, _ = pods.Patch(ctx, "whole", "application/merge-patch+json", []byte(patch), metav1.PatchOptions{})
		select {
		case <-ctx.Done():
		case <-time.After(30 * time.Millisecond):
		}
	}
	_ = pods.Delete(context.WithoutCancel(ctx), extra.Name, metav1.DeleteOptions{GracePeriodSeconds: &now})
}

// restore gives the pods what they had and waits until the kernel has what it had.
func (s *scene) restore(t *testing.T) {
	t.Helper()
	s.Annotate(t, s.pods[0], map[string]string{prefix + "egress-max": "20M", prefix + "ingress-max": "20M"})
	s.WaitCeiling(t, s.node, "whole", limit)
	s.same(t)
}

// same compares the kernel with what it had in the beginning: kinds and rates, in numbers.
func (s *scene) same(t *testing.T) {
	t.Helper()
	testx.Eventually(t, time.Minute, "the kernel has as much as it had", func(ctx context.Context) error {
		now, err := bed.Objects(ctx, s.node.Host)
		if err == nil && len(now) != len(s.steady) {
			err = fmt.Errorf("%d things, had %d:\n%s", len(now), len(s.steady), strings.Join(now, ""))
		}
		return err
	})
	s.remember(t)
}

// run runs a shell script on the node's host.
func (s *scene) run(t *testing.T, script string) string {
	t.Helper()
	out, errOut, err := s.node.Host.RunInput(t.Context(), []byte(script), "sh", "-e")
	if err != nil {
		t.Fatalf("%s: %v: %s", script, err, errOut)
	}
	return out
}

// link is the host's end of the pod's link: the port of the bridge behind which its address is.
func (s *scene) link(t *testing.T, p *corev1.Pod) string {
	t.Helper()
	s.WaitEnd(t, p) // so that the host knows its hardware address
	return strings.TrimSpace(s.run(t, fmt.Sprintf(`
mac=$(ip neigh show %[1]s | sed -n 's/.*lladdr \([^ ]*\).*/\1/p')
bridge fdb show | awk -v mac="$mac" '$1 == mac && /master/ { print $3; exit }'`, p.Status.PodIP)))
}

// condition waits until the node's condition is that and its message has the words.
func (s *scene) condition(t *testing.T, node string, want corev1.ConditionStatus, words ...string) {
	t.Helper()
	testx.Eventually(t, cluster.Patience, fmt.Sprintf("node %s has KedgeBandwidth=%s %q", node, want, words), func(ctx context.Context) error {
		n, err := s.Client.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range n.Status.Conditions {
			if c.Type != "KedgeBandwidth" {
				continue
			}
			for _, w := range words {
				if !strings.Contains(c.Message, w) {
					return fmt.Errorf("%s: %s: %s", c.Status, c.Reason, c.Message)
				}
			}
			if c.Status == want {
				t.Logf("%s: %s", c.Reason, c.Message)
				return nil
			}
			return fmt.Errorf("%s: %s: %s", c.Status, c.Reason, c.Message)
		}
		return errors.New("no such condition")
	})
}

// event waits for an event about an object with that reason and words.
func (s *scene) event(t *testing.T, object, reason string, words ...string) {
	t.Helper()
	testx.Eventually(t, cluster.Patience, "event "+reason+" about "+object, func(ctx context.Context) error {
		list, err := s.Client.CoreV1().Events("").List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=" + object})
		if err != nil {
			return err
		}
		var seen []string
		for i := range list.Items {
			e := &list.Items[i]
			seen = append(seen, e.Reason+": "+e.Message)
			found := strings.HasPrefix(e.Reason, reason)
			for _, w := range words {
				found = found && strings.Contains(e.Message, w)
			}
			if found {
				t.Logf("%s: %s", e.Reason, e.Message)
				return nil
			}
		}
		return fmt.Errorf("events: %q", seen)
	})
}
