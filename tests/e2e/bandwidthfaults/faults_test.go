package bandwidthfaults

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab/cluster"
	"github.com/kedge-io/kedge/tests/traffic/bed"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// fault is something that somebody does on the node, with LINK for the end of the pod's link.
type fault struct {
	name, script string
}

var faults = []fault{
	{"a tree is removed", "tc qdisc del dev kedge-out0 root"},
	{"a class is changed", "tc class change dev kedge-in0 $(tc class show dev kedge-in0 | awk '$4 == \"parent\" && /ceil 20Mbit/ { print \"parent\", $5, \"classid\", $3; exit }') htb rate 1mbit ceil 1mbit"},
	{"a device is removed", "ip link del kedge-in0"},
	{"a device is down", "ip link set kedge-out0 down"},
	// kedge may be quicker than the last command: then the device is right again already.
	{"a device is renamed", "ip link set kedge-out0 down; ip link set kedge-out0 name gone0; ip link set gone0 up || true"},
	{"filters are removed", "tc qdisc del dev LINK clsact"},
	{"filters of the uplink are removed", "tc qdisc del dev eth0 clsact"},
	{"the uplink flaps", "ip link set eth0 down; ip link set eth0 up; ip route replace default via 192.168.1.1"},
	{"a pod's link flaps", "ip link set LINK down; ip link set LINK up"},
	{"a pod's link is renamed", "ip link set LINK down; ip link set LINK name odd0; ip link set odd0 up || true"},
}

// fault does it and looks whether everything comes right by itself. A device of ours under
// another name is somebody else's then.
func (s *scene) fault(t *testing.T, f fault) {
	script := f.script
	if strings.Contains(script, "LINK") {
		script = strings.ReplaceAll(script, "LINK", s.link(t, s.pods[0]))
	}
	routes := s.run(t, "ip route show; true")
	s.run(t, script)
	s.routes(t, routes)
	s.WaitShaped(t, s.node)
	if s.node.Host.Exists("/sys/class/net/gone0") {
		s.run(t, "ip link del gone0")
	}
	s.same(t)
	s.holds(t)
}

// routes puts back those that went with a link that was down: kedge's own come back by themselves,
// those of the test's host do not.
func (s *scene) routes(t *testing.T, before string) {
	t.Helper()
	for line := range strings.Lines(before) {
		line = strings.TrimSuffix(strings.TrimSpace(line), " linkdown")
		if strings.Contains(line, "proto") {
			continue
		}
		_, _, _ = s.node.Host.Run(t.Context(), "sh", "-c", "ip route replace "+line)
	}
}

// uplinkVanishes renames it: then there is none of the name that --uplink says.
func (s *scene) uplinkVanishes(t *testing.T) {
	routes := s.run(t, "ip route show dev eth0")
	s.run(t, "ip link set eth0 down; ip link set eth0 name odd1; ip link set odd1 up; ip route replace default via 192.168.1.1")
	s.condition(t, "edge1", corev1.ConditionFalse, "eth0")
	s.event(t, "edge1", "Bandwidth", "eth0")
	s.WaitNode(t, "edge1", corev1.ConditionTrue)
	s.holds(t) // ceilings need no uplink
	s.run(t, "ip link set odd1 down; ip link set odd1 name eth0; ip link set eth0 up; ip route replace default via 192.168.1.1")
	_ = routes
	s.condition(t, "edge1", corev1.ConditionTrue)
	s.WaitShaped(t, s.node)
	s.same(t)
	s.holds(t)
}

// linkDeleted takes the pod's link away under it: the pod has no network any more, and the others
// go on. A new pod in its place is shaped.
func (s *scene) linkDeleted(t *testing.T) {
	s.run(t, "ip link del "+s.link(t, s.pods[0]))
	s.WaitShaped(t, s.node)
	now := int64(0)
	cluster.Must(t, s.Client.CoreV1().Pods("default").Delete(t.Context(), "whole", metav1.DeleteOptions{GracePeriodSeconds: &now}))
	testx.Eventually(t, cluster.Patience, "a pod of that name runs again", func(ctx context.Context) error {
		_, err := s.Client.CoreV1().Pods("default").Create(ctx, limited("whole"), metav1.CreateOptions{})
		return err
	})
	s.pods[0] = &s.WaitPods(t, "default", "app=whole", 1)[0]
	s.WaitCeiling(t, s.node, "whole", limit)
	s.same(t)
	s.holds(t)
}

// badAnnotations are refused with what would be right.
func (s *scene) badAnnotations(t *testing.T) {
	for _, c := range []struct {
		values map[string]string
		words  []string
	}{
		{map[string]string{prefix + "egress-max": "fast"}, []string{"egress-max", "10M"}},
		{map[string]string{prefix + "egress-min": "30M"}, []string{"min", "max"}},
		{map[string]string{prefix + "egress-maximum": "10M"}, []string{"egress-max"}},
		{map[string]string{prefix + "container.app.egress": "10M"}, []string{"egress-max"}},
	} {
		err := s.TryAnnotate(t, s.pods[0], c.values)
		if err == nil {
			t.Errorf("%v is accepted", c.values)
			continue
		}
		t.Log(err)
		for _, w := range c.words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%v: no %q in: %v", c.values, w, err)
			}
		}
	}
	s.WaitCeiling(t, s.node, "whole", limit)
	// Admission leaves the system's namespace alone: there the node has to bear it.
	bad := bed.Pod("bad", "edge1", "app")
	bad.Namespace = "kube-system"
	bad.Annotations[prefix+"egress-max"] = "fast"
	bad.Annotations[prefix+"ingress-max"] = "20M"
	s.Create(t, bad)
	s.event(t, "bad", "Bandwidth", "egress-max", "fast")
	s.WaitShaped(t, s.node)
	cluster.Must(t, s.Client.CoreV1().Pods("kube-system").Delete(t.Context(), "bad", metav1.DeleteOptions{}))
	s.same(t)
}

const policyText = `
apiVersion: edge.kedge.io/v1alpha1
kind: BandwidthPolicy
metadata: {name: %s, namespace: default}
spec:
  podSelector: {matchLabels: {app: subject}}
  egress: {max: %[2]s}
  ingress: {max: %[2]s}
`

// contradiction has two policies for the same pod.
func (s *scene) contradiction(t *testing.T) {
	s.Create(t, bed.Pod("subject", "edge1", "app"))
	s.Apply(t, fmt.Sprintf(policyText, "older", "20M"))
	s.WaitCeiling(t, s.node, "subject", limit)
	<-time.After(1100 * time.Millisecond) // the API counts the age in seconds
	s.Apply(t, fmt.Sprintf(policyText, "newer", "40M"))
	testx.Eventually(t, cluster.Patience, "the newer policy says that the older one counts", func(ctx context.Context) error {
		out, err := s.TryKubectl(ctx, "get", "bandwidthpolicy", "newer", "-o", `jsonpath={.status.conditions[?(@.type=="Conflicted")].status} {.status.conditions[?(@.type=="Conflicted")].message}`)
		if err == nil && !strings.HasPrefix(out, "True") {
			err = fmt.Errorf("its condition Conflicted: %q", out)
		}
		if err == nil {
			t.Log(out)
		}
		return err
	})
	s.WaitCeiling(t, s.node, "subject", limit)
	s.Kubectl(t, "delete", "bandwidthpolicy", "older", "newer")
	s.Kubectl(t, "delete", "pod", "subject")
	s.same(t)
}

// powerLost takes the power away and gives it back.
func (s *scene) powerLost(t *testing.T) {
	cluster.Must(t, s.node.Host.PowerOff())
	cluster.Must(t, s.node.Host.PowerOn(t.Context()))
	cluster.Must(t, s.node.Start())
	s.StartTraffic(t, s.node.Host)
	s.WaitNodes(t)
	for i, p := range s.pods {
		s.pods[i] = s.WaitEnd(t, p)
	}
	s.WaitCeiling(t, s.node, "whole", limit)
	s.same(t)
	s.holds(t)
}

// nothingLeft deletes the pods and removes kedge from the host.
func (s *scene) nothingLeft(t *testing.T) {
	for _, p := range s.pods {
		cluster.Must(t, s.Client.CoreV1().Pods("default").Delete(t.Context(), p.Name, metav1.DeleteOptions{}))
	}
	s.WaitShaped(t, s.node)
	cluster.Must(t, s.node.Stop(t.Context()))
	_, err := s.node.Kedge(t.Context(), "reset", "--yes")
	cluster.Must(t, err)
	bed.WaitObjects(t, s.node.Host, nil)
	s.seen.waitGone(t)
}

// conflict puts a device that is no IFB in the place of one of ours, as near as this kernel comes
// to one without IFB.
func (s *scene) conflict(t *testing.T) {
	cluster.Must(t, s.node.Stop(t.Context()))
	s.run(t, "ip link del kedge-out0; ip link add kedge-out0 type bridge")
	cluster.Must(t, s.node.Start())
	s.WaitNodes(t)
	s.condition(t, "edge1", corev1.ConditionFalse, "kedge-out0")
	s.event(t, "edge1", "Bandwidth", "kedge-out0")
	s.Create(t, bed.Pod("another", "edge1", "app"))
	s.run(t, "ip link del kedge-out0")
	s.condition(t, "edge1", corev1.ConditionTrue)
	s.WaitShaped(t, s.node)
	s.holds(t)
	s.Kubectl(t, "delete", "pod", "another")
}
