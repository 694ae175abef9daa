// Package bandwidthsched is the scenario in README.md.
package bandwidthsched

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

// What uplinks of 100 and 50 Mbit/s leave for guarantees lies between these, in kbit/s.
var (
	large = [2]int64{80_000, 95_000}
	small = [2]int64{40_000, 47_500}
)

func TestPodsLandWhereTheirGuaranteeFits(t *testing.T) {
	c := cluster.New(t, lab.ServerAndEdges(2), cluster.Options{ServerArgs: []string{"--disable-agent"}, NoJoin: true})
	one, two := c.Agents[0], c.Agents[1]
	uplink(one, "100M")
	uplink(two, "50M")
	c.Join(t, one)
	c.Join(t, two)
	c.WaitNodes(t)
	waitCapacity(t, c, one, large)
	waitCapacity(t, c, two, small)

	// In this order each fits on one node only.
	c.CreatePod(t, guaranteed("cam", "60M"))
	landed(t, c, "cam", one, 60_000)
	c.CreatePod(t, guaranteed("mic", "35M"))
	landed(t, c, "mic", two, 35_000)

	t.Run("refused with figures", func(t *testing.T) { refused(t, c) })
	t.Run("policy", func(t *testing.T) { byPolicy(t, c, one) })
	t.Run("raised while it runs", func(t *testing.T) { raised(t, c, one) })
	t.Run("zeroed", func(t *testing.T) { zeroed(t, c, one) })
	t.Run("past the scheduler", func(t *testing.T) { past(t, c, one) })
	t.Run("restarts", func(t *testing.T) { restarts(t, c, one) })
}

// uplink says what the agent's line carries.
func uplink(n *cluster.Node, rate string) {
	n.Args = slices.DeleteFunc(n.Args, func(a string) bool { return strings.HasPrefix(a, "--uplink=") })
	n.Args = append(n.Args, "--uplink=eth0="+rate)
}

// guaranteed is a pod that goes wherever there is room.
func guaranteed(name, egress string) *corev1.Pod {
	pod := cluster.AppPod(name, "")
	pod.Annotations = map[string]string{v1alpha1.AnnotationEgressMin: egress}
	return pod
}

func allocatable(ctx context.Context, c *cluster.Cluster, n *cluster.Node) (int64, error) {
	node, err := c.Client.CoreV1().Nodes().Get(ctx, n.Name(), metav1.GetOptions{})
	if err != nil {
		return 0, err
	}
	q := node.Status.Allocatable[v1alpha1.ResourceEgress]
	return q.Value(), nil
}

// waitCapacity waits until the node publishes something in the range, and returns it.
func waitCapacity(t *testing.T, c *cluster.Cluster, n *cluster.Node, want [2]int64) int64 {
	t.Helper()
	var got int64
	testx.Eventually(t, cluster.Patience, n.Name()+" publishes its egress", func(ctx context.Context) error {
		var err error
		if got, err = allocatable(ctx, c, n); err == nil && (got < want[0] || got > want[1]) {
			err = fmt.Errorf("it is %d kbit/s, want %d to %d", got, want[0], want[1])
		}
		return err
	})
	return got
}

// landed waits for the pod, on that node and with that resource.
func landed(t *testing.T, c *cluster.Cluster, name string, on *cluster.Node, kbps int64) {
	t.Helper()
	pod := c.WaitPods(t, "default", "app="+name, 1)[0]
	if pod.Spec.NodeName != on.Name() {
		t.Errorf("pod %s is on %s, want %s", name, pod.Spec.NodeName, on.Name())
	}
	r := pod.Spec.Containers[0].Resources
	request, limit := r.Requests[v1alpha1.ResourceEgress], r.Limits[v1alpha1.ResourceEgress]
	if request.Value() != kbps || limit.Value() != kbps {
		t.Errorf("pod %s has %v, want %d kbit/s of egress", name, r, kbps)
	}
}

// refused creates a pod that fits nowhere and reads what the scheduler says.
func refused(t *testing.T, c *cluster.Cluster) {
	c.CreatePod(t, guaranteed("late", "45M"))
	testx.Eventually(t, cluster.Patience, "an event has the figures", func(ctx context.Context) error {
		list, err := c.Client.CoreV1().Events("default").List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=late,reason=FailedScheduling"})
		if err != nil {
			return err
		}
		for _, e := range list.Items {
			if strings.Contains(e.Message, "Needs 45 Mbit/s egress guaranteed: edge") && strings.Count(e.Message, "Mbit/s free") == 2 {
				t.Log(e.Message)
				return nil
			}
		}
		return fmt.Errorf("events are %v", list.Items)
	})
	remove(t, c, "late")
}

func remove(t *testing.T, c *cluster.Cluster, name string) {
	t.Helper()
	cluster.Must(t, c.Client.CoreV1().Pods("default").Delete(t.Context(), name, metav1.DeleteOptions{}))
}

const policies = `
apiVersion: edge.kedge.io/v1alpha1
kind: BandwidthPolicy
metadata: {name: gold}
spec:
  podSelector: {matchExpressions: [{key: app, operator: In, values: [gold]}]}
  egress: {min: 5M}
---
apiVersion: edge.kedge.io/v1alpha1
kind: BandwidthPolicy
metadata: {name: others}
spec:
  podSelector: {matchLabels: {app: others}}
  egress: {min: 9M}
`

func byPolicy(t *testing.T, c *cluster.Cluster, n *cluster.Node) {
	c.Apply(t, policies)
	// The API server reads policies a moment after they were written.
	testx.Eventually(t, cluster.Patience, "the policy counts", func(ctx context.Context) error {
		pod := cluster.AppPod("gold", n.Name())
		dry, err := c.Client.CoreV1().Pods("default").Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if q := dry.Spec.Containers; err == nil && len(q[0].Resources.Requests) == 0 {
			err = fmt.Errorf("the pod has %v", q[0].Resources)
		}
		return err
	})
	c.CreatePod(t, cluster.AppPod("gold", n.Name()))
	landed(t, c, "gold", n, 5_000)
}

// raised raises a guarantee by 10 Mbit/s beyond what the pod requested.
func raised(t *testing.T, c *cluster.Cluster, n *cluster.Node) {
	before, err := allocatable(t.Context(), c, n)
	cluster.Must(t, err)
	c.Kubectl(t, "annotate", "pod", "cam", "--overwrite", v1alpha1.AnnotationEgressMin+"=70M")
	waitCapacity(t, c, n, [2]int64{before - 10_000, before - 10_000})
	c.Kubectl(t, "annotate", "pod", "cam", "--overwrite", v1alpha1.AnnotationEgressMin+"=60M")
	waitCapacity(t, c, n, [2]int64{before, before})
}

// zeroed does what kubelet does when it takes the machine for a new one.
func zeroed(t *testing.T, c *cluster.Cluster, n *cluster.Node) {
	none := []byte(`{"status":{"capacity":{"kedge.io/egress-kbps":"0"},"allocatable":{"kedge.io/egress-kbps":"0"}}}`)
	_, err := c.Client.CoreV1().Nodes().Patch(t.Context(), n.Name(), types.MergePatchType, none, metav1.PatchOptions{}, "status")
	cluster.Must(t, err)
	waitCapacity(t, c, n, large)
}

// past binds a pod that does not fit: kubelet rejects it with figures, and the node does not make
// room for it.
func past(t *testing.T, c *cluster.Cluster, n *cluster.Node) {
	pod := guaranteed("past", "60M")
	pod.Spec.NodeName = n.Name()
	c.CreatePod(t, pod)
	testx.Eventually(t, cluster.Patience, "kubelet rejects the pod", func(ctx context.Context) error {
		p, err := c.Client.CoreV1().Pods("default").Get(ctx, "past", metav1.GetOptions{})
		if err == nil && (p.Status.Phase != corev1.PodFailed || !strings.Contains(p.Status.Message, "requested: 60000, used: 65000")) {
			err = fmt.Errorf("it is %s: %s", p.Status.Phase, p.Status.Message)
		}
		return err
	})
	waitCapacity(t, c, n, large)
	remove(t, c, "past")
}

// reported waits until the node's report says so about its guarantees.
func reported(t *testing.T, c *cluster.Cluster, n *cluster.Node, want string) {
	t.Helper()
	testx.Eventually(t, cluster.Patience, "the report of "+n.Name()+" says "+want, func(ctx context.Context) error {
		got, err := c.TryKubectl(ctx, "get", "nodebandwidth", n.Name(), "-o",
			`jsonpath={.status.conditions[?(@.type=="Guaranteed")].reason} {.status.conditions[?(@.type=="Guaranteed")].message}`)
		if err == nil && !strings.Contains(got, want) {
			err = fmt.Errorf("it says %q", got)
		}
		return err
	})
}

// restarts ends and starts the agent in every bad way and looks at its pods.
func restarts(t *testing.T, c *cluster.Cluster, n *cluster.Node) {
	containers, starts := c.Containers(t), started(t, c)
	for _, round := range []struct {
		name     string
		meantime func()
		want     [2]int64
		says     string
	}{
		{"killed", func() {}, large, "Fits"},
		{"killed, and kubelet's state is lost", func() {
			cluster.Must(t, os.RemoveAll(n.Host.Path("/var/lib/kubelet/device-plugins")))
		}, large, "Fits"},
		{"smaller uplink", func() { uplink(n, "20M") }, [2]int64{65_000, 65_000}, "OverPromised egress: pods have 65 Mbit/s reserved"},
		{"smaller uplink, once more", func() {}, [2]int64{65_000, 65_000}, "OverPromised"},
		{"no uplink", func() { n.Args = append(slices.DeleteFunc(n.Args, isUplink), "--uplink=none") }, [2]int64{65_000, 65_000}, "UplinkUnknown"},
		{"while the server is away", func() {
			uplink(n, "100M")
			cluster.Must(t, c.Server.Kill())
			cluster.Must(t, n.Start())
			// kubelet's own health, on the agent's host.
			cluster.Get(t, n.Host, "http://127.0.0.1:10248/healthz", "ok")
			cluster.Must(t, c.Server.Start())
			c.Connect(t)
		}, large, "Fits"},
	} {
		t.Run(round.name, func(t *testing.T) {
			cluster.Must(t, n.Kill())
			at := time.Now()
			round.meantime()
			select {
			case <-n.Proc().Done():
				cluster.Must(t, n.Start())
			default: // started meanwhile
			}
			c.WaitAlive(t, n, at, "cam")
			waitCapacity(t, c, n, round.want)
			reported(t, c, n, round.says)
			c.SameContainers(t, containers)
			if now := started(t, c); now != starts {
				t.Errorf("pods and their starts were\n%s\nand are\n%s", starts, now)
			}
		})
	}
}

func isUplink(arg string) bool { return strings.HasPrefix(arg, "--uplink=") }

// started lists all pods with UID, phase and when their containers started.
func started(t *testing.T, c *cluster.Cluster) string {
	t.Helper()
	list, err := c.Client.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
	cluster.Must(t, err)
	var lines []string
	for _, p := range list.Items {
		line := fmt.Sprintf("%s %s %s", p.Name, p.UID, p.Status.Phase)
		for _, s := range p.Status.ContainerStatuses {
			if s.State.Running != nil {
				line += " " + s.State.Running.StartedAt.String()
			}
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
