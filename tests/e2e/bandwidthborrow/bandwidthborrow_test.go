// Package bandwidthborrow is the scenario in README.md.
package bandwidthborrow

import (
	"fmt"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/traffic/bed"
	"github.com/kedge-io/kedge/tests/traffic/flow"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

const (
	mega = 1e6
	line = 100 * mega
	// short is how long those send that end first, long the others.
	short, long = 5 * time.Second, 10 * time.Second
	// policy gives pods with a label precedence.
	policy = `
apiVersion: edge.kedge.io/v1alpha1
kind: BandwidthPolicy
metadata: {name: first, namespace: default}
spec:
  podSelector: {matchLabels: {precedence: first}}
  priority: 6
`
)

// scene is a cluster whose pods have no guarantees.
type scene struct {
	*bed.Bed
	one, two, first *corev1.Pod
}

func TestWhatNobodyUsesIsBorrowed(t *testing.T) {
	b := bed.Up(t, bed.Edge{Uplink: "100M", Line: line, Delay: 2 * time.Millisecond})
	b.Apply(t, policy)
	node := b.Agents[0].Name()
	two, first := bed.Pod("two", node, "a", "b"), bed.Pod("first", node, "app")
	for _, field := range []string{"a.egress-max", "a.ingress-max", "b.egress-max", "b.ingress-max"} {
		two.Annotations["bandwidth.kedge.io/container."+field] = "90M"
	}
	first.Labels["precedence"] = "first"
	pods := b.Create(t, bed.Pod("one", node, "app"), two, first)
	b.WaitShaped(t, b.Agents[0])
	s := &scene{b, pods[0], pods[1], pods[2]}
	for _, in := range []bool{false, true} {
		t.Run(fmt.Sprintf("equally, in %t", in), func(t *testing.T) { s.equally(t, in) })
		t.Run(fmt.Sprintf("by priority, in %t", in), func(t *testing.T) { s.byPriority(t, in) })
	}
}

func (s *scene) greedy(p *corev1.Pod, container int, in bool, d time.Duration) bed.Task {
	return bed.Task{End: s.Container(p, container), Job: flow.Job{Kind: flow.TCP, To: s.Far(), In: in, Streams: 2, Seconds: d.Seconds()}}
}

func (s *scene) equally(t *testing.T, in bool) {
	half := bed.Payload(0.95*line) / 2
	bed.Rates(t, func() []bed.Rate {
		r := bed.Whole(t, s.greedy(s.one, 0, in, long), s.greedy(s.two, 0, in, long), s.greedy(s.two, 1, in, long))
		rates := []bed.Rate{
			bed.Around("the pod with one class", r[0].Mean(2*time.Second, long), half, 15),
			bed.Around("the pod with two", r[1].Mean(2*time.Second, long)+r[2].Mean(2*time.Second, long), half, 15),
		}
		rates[0].Shared, rates[1].Shared = true, true
		return rates
	})
}

func (s *scene) byPriority(t *testing.T, in bool) {
	free := bed.Payload(0.95 * line)
	bed.Rates(t, func() []bed.Rate {
		r := bed.Whole(t, s.greedy(s.first, 0, in, short), s.greedy(s.one, 0, in, long))
		return []bed.Rate{
			bed.AtLeast("the pod with precedence", r[0].Mean(time.Second, short), 0.8*free),
			bed.AtLeast("the other, later", r[1].Mean(short+2*time.Second, long), 0.85*free),
		}
	})
}
