// Package bandwidthshare is the scenario in README.md.
package bandwidthshare

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

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
	uplink = 100 * mega
	// line is what the real line carries: on a machine that is late now and then, a line that
	// is hardly faster than what is told to the node would queue before the node sees anything,
	// and share its own queue among all that comes in.
	line   = 1.25 * uplink
	prefix = "bandwidth.kedge.io/"
	// whole is how long the first and the third pod send, half the second one.
	whole, half = 8 * time.Second, 4 * time.Second
	// crowdPods and crowdHosts are the greedy ones without guarantees.
	crowdPods, crowdHosts = 22, 8
	crowdTime             = 25 * time.Second
	// amongThree and besideCrowd are the shares of a guarantee that must be there, and
	// besideCrowdIn that of what comes in: what thirty senders send again has crossed the
	// line before it is dropped here.
	amongThree, besideCrowd, besideCrowdIn = 0.9, 0.85, 0.6
	// late is a lease that was renewed too late: kubelet renews every 10 s.
	late = 20 * time.Second
)

var guarantees = []float64{50 * mega, 30 * mega, 10 * mega}

// scene is the cluster with the pods that have guarantees.
type scene struct {
	*bed.Bed
	node *cluster.Node
	pods []*corev1.Pod
}

func TestGuaranteesHoldOnAFullLine(t *testing.T) {
	b := bed.Up(t, bed.Edge{Uplink: "100M", Line: line, Delay: 5 * time.Millisecond})
	s := &scene{Bed: b, node: b.Agents[0]}
	s.pods = b.Create(t, guaranteed("g50", s.node, "50M"), guaranteed("g30", s.node, "30M"), guaranteed("g10", s.node, "10M"))
	b.WaitShaped(t, s.node)
	t.Run("three greedy pods", s.three)
	t.Run("a guarantee that does not fit", s.tooMuch)
	t.Run("beside a crowd", s.crowd)
}

func guaranteed(name string, n *cluster.Node, rate string) *corev1.Pod {
	p := bed.Pod(name, n.Name(), "app")
	p.Annotations[prefix+"egress-min"], p.Annotations[prefix+"ingress-min"] = rate, rate
	return p
}

// each runs a test for both directions.
func each(t *testing.T, run func(t *testing.T, in bool)) {
	t.Run("out", func(t *testing.T) { run(t, false) })
	t.Run("in", func(t *testing.T) { run(t, true) })
}

// greedy are the jobs of the pods with guarantees.
func (s *scene) greedy(in bool, lengths ...time.Duration) []bed.Task {
	var tasks []bed.Task
	for i, p := range s.pods {
		job := flow.Job{Kind: flow.TCP, To: s.Far(), In: in, Streams: 2, Seconds: lengths[i].Seconds()}
		tasks = append(tasks, bed.Task{End: s.Container(p, 0), Job: job})
	}
	return tasks
}

// three sees that everybody has what is guaranteed, and that two share what the third leaves.
func (s *scene) three(t *testing.T) {
	each(t, func(t *testing.T, in bool) {
		bed.Rates(t, func() []bed.Rate {
			r := bed.Whole(t, s.greedy(in, whole, half, whole)...)
			rest := r[0].Mean(half+time.Second, whole) + r[2].Mean(half+time.Second, whole)
			return append(s.kept(r, time.Second, half, amongThree),
				bed.AtLeast("the others together, without the second", rest, 0.85*bed.Payload(0.95*uplink)))
		})
	})
}

// kept are the rates of everybody, with that share of the guarantee as the least.
func (s *scene) kept(r []flow.Result, from, to time.Duration, share float64) (rates []bed.Rate) {
	for i, g := range guarantees {
		rates = append(rates, bed.AtLeast(s.pods[i].Name, r[i].Mean(from, to), share*bed.Payload(g)))
	}
	return rates
}

// tooMuch asks for more than is left.
func (s *scene) tooMuch(t *testing.T) {
	p := guaranteed("toomuch", s.node, "40M")
	s.CreatePod(t, p)
	testx.Eventually(t, cluster.Patience, "an event says that the guarantee does not fit", func(ctx context.Context) error {
		list, err := s.Client.CoreV1().Events("default").List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=" + p.Name})
		if err != nil {
			return err
		}
		var seen []string
		for i := range list.Items {
			e := &list.Items[i]
			seen = append(seen, e.Reason+": "+e.Message)
			if e.Reason == "FailedScheduling" && strings.Contains(e.Message, "kbps") {
				t.Log(e.Message)
				return nil
			}
		}
		return fmt.Errorf("events: %q", seen)
	})
	cluster.Must(t, s.Client.CoreV1().Pods("default").Delete(t.Context(), p.Name, metav1.DeleteOptions{}))
}

// crowd has everybody send at once.
func (s *scene) crowd(t *testing.T) {
	var pods []*corev1.Pod
	for i := range crowdPods {
		pods = append(pods, bed.Pod(fmt.Sprint("w", i), s.node.Name(), "app"))
	}
	for i := range crowdHosts {
		pods = append(pods, bed.HostPod(fmt.Sprint("h", i), s.node.Name(), i))
	}
	pods = s.Create(t, pods...)
	each(t, func(t *testing.T, in bool) { s.beside(t, pods, in) })
}

func (s *scene) beside(t *testing.T, pods []*corev1.Pod, in bool) {
	before := s.link(t)
	lease := s.WatchLease(t, s.node.Name())
	tasks := s.greedy(in, crowdTime, crowdTime, crowdTime)
	tasks = append(tasks, bed.Task{End: s.HostEnd(s.node.Host), Job: flow.Job{
		Kind: flow.Echo, To: s.Far(), Seconds: crowdTime.Seconds(), Size: 100, Interval: 20 * time.Millisecond, Priority: 7,
	}})
	for i, p := range pods {
		job := flow.Job{Kind: flow.TCP, To: s.Far(), In: in, Seconds: crowdTime.Seconds()}
		// What comes in has crossed the line before the node sees it: senders that heed no loss
		// and fill it cannot be ruled from this end.
		if i%3 == 0 && !in {
			job.Kind, job.Rate, job.Size = flow.UDP, 10*mega, 1200
		}
		tasks = append(tasks, bed.Task{End: s.Container(p, 0), Job: job})
	}
	share := besideCrowd
	if in {
		share = besideCrowdIn
	}
	bed.Attempts(t, func() []string {
		r := bed.Together(t, tasks...)
		complaints := bed.Outside(t, s.kept(r, 3*time.Second, crowdTime, share))
		return slices.Concat(complaints, echoed(t, r[len(s.pods)]), broken(tasks[len(s.pods)+1:], r[len(s.pods)+1:]))
	})
	gap, err := lease.Stop()
	cluster.Must(t, err)
	t.Logf("lease: %s", gap)
	if gap > late {
		t.Errorf("the lease was not renewed for %s", gap)
	}
	s.WaitNode(t, s.node.Name(), corev1.ConditionTrue)
	if after := s.link(t); after != before {
		t.Errorf("the link was made anew: %d times before, %d after", before, after)
	}
}

// echoed complains when more than one of a hundred echoes of the control class is missing.
func echoed(t *testing.T, echo flow.Result) []string {
	t.Logf("echoes of the control class: %+v, lost %d of %d", echo.Delays, echo.Lost(), echo.Sent)
	if echo.Error == "" && echo.Lost() <= echo.Sent/100 {
		return nil
	}
	return []string{fmt.Sprintf("of %d echoes of the control class %d were lost: %s", echo.Sent, echo.Lost(), echo.Error)}
}

// broken complains of connections that ended otherwise than they should. Those that have no
// guarantee may wait for their turn until time is up.
func broken(tasks []bed.Task, results []flow.Result) (complaints []string) {
	for i, r := range results {
		if r.Error != "" && tasks[i].Job.Kind == flow.TCP && !strings.Contains(r.Error, "i/o timeout") {
			complaints = append(complaints, fmt.Sprintf("%s: %s", tasks[i].End.Addr, r.Error))
		}
	}
	return complaints
}

// link is how often the node's link was made anew. It is up.
func (s *scene) link(t *testing.T) int {
	t.Helper()
	report, err := s.node.Links(t.Context())
	if err == nil && (len(report.Links) != 1 || !report.Links[0].Up) {
		err = errors.New("the link is not up")
	}
	cluster.Must(t, err)
	return report.Links[0].Reconnects
}
