// Package bandwidthstart is the scenario in README.md.
package bandwidthstart

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/agent/bandwidth/snapshot"
	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
	"github.com/kedge-io/kedge/tests/traffic/bed"
	corev1 "k8s.io/api/core/v1"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

const (
	prefix = "bandwidth.kedge.io/"
	// firstPort is that of the first server of iperf3 on the far host.
	firstPort = 5201
	// enough packets that a class which came late would have been missed.
	enough = 2000
)

type scene struct {
	*bed.Bed
	node *cluster.Node
}

func TestNothingPassesBeforeThePodIsShaped(t *testing.T) {
	b := bed.Up(t, bed.Edge{Uplink: "1G"})
	s := &scene{b, b.Agents[0]}
	b.WaitShaped(t, s.node)
	s.rule(t, "add table inet e2e")
	s.rule(t, "add chain inet e2e pods { type filter hook prerouting priority -400; }")

	pod := s.sender("pod", 0)
	pod.Annotations["kubernetes.io/egress-bandwidth"] = "20M"
	s.holds(t, pod, 0, func(p *snapshot.Pod) []snapshot.Class { return p.Classes })

	container := s.sender("container", 1)
	container.Annotations[prefix+"container.early.egress-max"] = "20M"
	ofContainer := func(p *snapshot.Pod) []snapshot.Class {
		for _, c := range p.Containers {
			if c.Name == "early" {
				return c.Classes
			}
		}
		return nil
	}
	s.holds(t, container, 1, ofContainer)

	cluster.Must(t, s.node.Kill())
	cluster.Must(t, s.node.Start())
	s.WaitNodes(t)
	again := s.sender("again", 2)
	again.Annotations[prefix+"container.early.egress-max"] = "20M"
	s.holds(t, again, 2, ofContainer)
}

// sender is a pod that sends datagrams to server number n as soon as it starts.
func (s *scene) sender(name string, n int) *corev1.Pod {
	p := bed.Pod(name, s.node.Name(), "app")
	p.Spec.RestartPolicy = corev1.RestartPolicyNever
	p.Spec.Containers = append([]corev1.Container{{
		Name: "early", Image: bed.Image, ImagePullPolicy: corev1.PullNever,
		Command: []string{"/usr/bin/iperf3", "-c", s.Peer.IP(), "-p", strconv.Itoa(firstPort + n), "-u", "-b", "40M", "-l", "400", "-t", "600"},
	}}, p.Spec.Containers...)
	return p
}

func (s *scene) rule(t *testing.T, rule string) string {
	t.Helper()
	out, errOut, err := s.node.Host.Run(t.Context(), "nft", rule)
	if err != nil {
		t.Fatalf("nft %s: %v: %s", rule, err, errOut)
	}
	return out
}

// holds creates the pod and compares, until enough has passed.
func (s *scene) holds(t *testing.T, pod *corev1.Pod, n int, classes func(*snapshot.Pod) []snapshot.Class) {
	t.Helper()
	port := strconv.Itoa(firstPort + n)
	s.rule(t, "add rule inet e2e pods iifname kedge0 ip daddr "+s.Peer.IP()+" meta l4proto { tcp, udp } th dport "+port+" counter comment to-"+port)
	s.CreatePod(t, pod)
	testx.Eventually(t, cluster.Patience, "pod "+pod.Name+" has sent enough", func(ctx context.Context) error {
		// The class counts a packet before it comes to the rule: so the rule is read first.
		forwarded := s.forwarded(t, port)
		now, err := s.node.Bandwidth(ctx)
		if err != nil {
			return err
		}
		p := bed.FindPod(now, pod.Name)
		if p == nil {
			return fmt.Errorf("%d packets forwarded, the pod is not shaped", forwarded)
		}
		passed := egress(classes(p))
		if forwarded > passed {
			t.Fatalf("pod %s: %d packets were forwarded, its class has let through %d", pod.Name, forwarded, passed)
		}
		if forwarded < enough {
			return fmt.Errorf("%d packets forwarded, %d let through", forwarded, passed)
		}
		t.Logf("pod %s: %d packets forwarded, then %d let through", pod.Name, forwarded, passed)
		return nil
	})
}

// egress is how many packets classes for what leaves the node have let through.
func egress(classes []snapshot.Class) (packets uint64) {
	for _, c := range classes {
		if c.Direction == "egress" && !c.Local {
			packets += c.Counters.Packets
		}
	}
	return packets
}

var counter = regexp.MustCompile(`counter packets (\d+)`)

// forwarded is what the rule for the port has counted.
func (s *scene) forwarded(t *testing.T, port string) uint64 {
	t.Helper()
	for line := range strings.Lines(s.rule(t, "list chain inet e2e pods")) {
		if m := counter.FindStringSubmatch(line); m != nil && strings.Contains(line, "to-"+port) {
			n, err := strconv.ParseUint(m[1], 10, 64)
			cluster.Must(t, err)
			return n
		}
	}
	t.Fatalf("no rule for port %s", port)
	return 0
}
