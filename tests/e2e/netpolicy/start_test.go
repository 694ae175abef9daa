package netpolicy

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/edgefw/store"
	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab/cluster"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	starts    = 20
	firstPort = 20000 // of datagrams, one for each pod
)

// noWindow starts pods that send datagrams from their first instruction on, in a namespace that lets
// nothing out: none arrives. One in another namespace shows that they would.
func (s *scene) noWindow(t *testing.T) {
	s.write(t, denyOut)
	s.expect(t, "v/a > out:8080", "x/a > out:8080, x/b > out:8080")
	s.nft(t, "add table inet e2e; add chain inet e2e in { type filter hook prerouting priority -300; };"+
		fmt.Sprintf("add rule inet e2e in udp dport %d-%d counter comment closed;", firstPort, firstPort+starts-1)+
		fmt.Sprintf("add rule inet e2e in udp dport %d counter comment open", firstPort+starts))
	for i := range starts {
		node := s.c.Agents[i%len(s.c.Agents)].Name()
		p := shouter(fmt.Sprint("shout", i), "x", node, s.out.IP(), firstPort+i)
		s.c.CreatePod(t, p)
	}
	s.c.CreatePod(t, shouter("shout", "v", "edge1", s.out.IP(), firstPort+starts))
	s.c.WaitPods(t, "x", "kind=shouter", starts)
	s.c.WaitPods(t, "v", "kind=shouter", 1)
	const enough = 1000
	testx.Eventually(t, cluster.Patience, "the pod that may sends", func(context.Context) error {
		if n := s.counted(t, "open"); n < enough {
			return fmt.Errorf("%d datagrams arrived", n)
		}
		return nil
	})
	if n := s.counted(t, "closed"); n != 0 {
		t.Errorf("%d datagrams of pods arrived that may send nothing", n)
	}
	t.Logf("%d starts: %d datagrams arrived of pods that may send nothing, %d of the one that may", starts, s.counted(t, "closed"), s.counted(t, "open"))
	s.withoutPower(t, enough)
	for i := range starts {
		s.remove(t, "x", fmt.Sprint("shout", i))
	}
	s.remove(t, "v", "shout")
	s.write(t, "")
}

// withoutPower takes a node's power away: the pods that it starts again are closed, too.
func (s *scene) withoutPower(t *testing.T, enough int) {
	edge := s.c.Node("edge1")
	testx.Eventually(t, cluster.Patience, "the policies are on disk", func(context.Context) error {
		state, err := store.Read(edge.Host.Path("/var/lib/kedge/agent/firewall.json"))
		if err == nil && !slices.Contains(state.Ruleset.Pods.Guarded, "x") {
			err = fmt.Errorf("revision %d guards %v", state.Revision, state.Ruleset.Pods.Guarded)
		}
		return err
	})
	cluster.Must(t, edge.Host.PowerOff())
	before := s.counted(t, "open")
	cluster.Must(t, edge.Host.PowerOn(t.Context()))
	cluster.Must(t, edge.Start())
	testx.Eventually(t, cluster.Patience, "the pod that may sends again", func(context.Context) error {
		if n := s.counted(t, "open"); n < before+enough {
			return fmt.Errorf("%d datagrams arrived", n-before)
		}
		return nil
	})
	s.c.WaitNodes(t)
	for i := range starts {
		p, err := s.c.Client.CoreV1().Pods("x").Get(t.Context(), fmt.Sprint("shout", i), metav1.GetOptions{})
		cluster.Must(t, err)
		if p.Spec.NodeName == edge.Name() {
			s.again(t, p)
		}
	}
	if n := s.counted(t, "closed"); n != 0 {
		t.Errorf("after the power was away, %d datagrams of pods arrived that may send nothing", n)
	}
	s.look(t)
}

// again waits until the container of a pod has been started twice.
func (s *scene) again(t *testing.T, p *corev1.Pod) {
	t.Helper()
	testx.Eventually(t, cluster.Patience, p.Name+" was started again", func(ctx context.Context) error {
		now, err := s.c.Client.CoreV1().Pods(p.Namespace).Get(ctx, p.Name, metav1.GetOptions{})
		if err == nil && (len(now.Status.ContainerStatuses) != 1 || now.Status.ContainerStatuses[0].RestartCount == 0 || now.Status.ContainerStatuses[0].State.Running == nil) {
			err = fmt.Errorf("it is %+v", now.Status.ContainerStatuses)
		}
		return err
	})
}

func shouter(name, ns, node, to string, port int) *corev1.Pod {
	p := cluster.AppPod(name, node, "shout", fmt.Sprintf("%s:%d", to, port))
	p.Namespace, p.Labels["kind"] = ns, "shouter"
	p.Spec.Containers[0].Ports = nil
	return p
}

func (s *scene) nft(t *testing.T, commands string) string {
	t.Helper()
	out, errOut, err := s.out.Run(t.Context(), "nft", commands)
	if err != nil {
		t.Fatal(errors.Join(err, errors.New(errOut)))
	}
	return out
}

var counter = regexp.MustCompile(`counter packets (\d+) .*comment "(\w+)"`)

// counted is what the rule with the comment has seen.
func (s *scene) counted(t *testing.T, comment string) int {
	t.Helper()
	for line := range strings.Lines(s.nft(t, "list chain inet e2e in")) {
		if m := counter.FindStringSubmatch(line); m != nil && m[2] == comment {
			n, err := strconv.Atoi(m[1])
			cluster.Must(t, err)
			return n
		}
	}
	t.Fatalf("no rule %s", comment)
	return 0
}
