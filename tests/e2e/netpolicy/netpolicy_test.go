package netpolicy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab/cluster"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestNetworkPolicies(t *testing.T) {
	s := start(t)
	cases := slices.Concat(ingressCases, egressCases, pathCases, changeCases)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { s.walk(t, c) })
	}
	t.Logf("%d cases", len(cases))
	s.write(t, "")
	t.Run("an open connection is cut", s.cut)
	t.Run("a pod that is made anew", s.anew)
	t.Run("no window at the start of a pod", s.noWindow)
	t.Run("without an agent and after it", s.outlives)
	t.Run("while agents are killed", func(t *testing.T) { s.whileKilled(t, cases) })
}

// walk goes the steps of a case.
func (s *scene) walk(t *testing.T, c aCase) {
	written := ""
	for i, step := range c.steps {
		for _, l := range step.labels {
			object, label, _ := strings.Cut(l, " ")
			key, value, _ := strings.Cut(label, "=")
			s.label(t, object, key, value)
		}
		if step.policies != "same" && (i == 0 || step.policies != written) {
			s.write(t, step.policies)
			written = step.policies
		}
		began := time.Now()
		s.expect(t, step.yes, step.no)
		if t.Failed() {
			t.Fatalf("step %d", i+1)
		}
		t.Logf("step %d: as it is to be after %s", i+1, time.Since(began).Round(time.Millisecond))
	}
}

// cut shows that connections end that the policies of now would not let begin, whoever sends first.
func (s *scene) cut(t *testing.T) {
	const long = 60
	s.write(t, "")
	s.expect(t, "v/a > x/a:8080, x/c > x/a:8080, x/a > v/b:8080", "")
	type held struct {
		text   string
		worked bool
	}
	senders := map[string]string{"v/a": "x/a", "x/c": "x/a", "x/a": "v/b"}
	ended := make(chan held, len(senders))
	for from, to := range senders {
		go func() {
			r, err := s.c.Checks(t.Context(), s.pods[from], []cluster.Check{{Kind: "hold", To: fmt.Sprintf("%s:%d", s.pods[to].Status.PodIP, first), Seconds: long}})
			ended <- held{from + " > " + to, err != nil || r[0].Worked}
		}()
	}
	// All three are connected once the receivers have the flows.
	s.expect(t, "v/a > x/a:8080, x/c > x/a:8080, x/a > v/b:8080", "")
	began := time.Now()
	s.write(t, denyIn+"v: podSelector: {matchLabels: {pod: b}}, ingress: [{from: [{podSelector: {}}]}]")
	for range senders {
		h := <-ended
		if h.worked || time.Since(began) > long*time.Second/2 {
			t.Errorf("%s went on: worked %t, after %s", h.text, h.worked, time.Since(began))
		}
	}
	s.write(t, "")
}

// anew makes a pod again, by which another pod may have had its address.
func (s *scene) anew(t *testing.T) {
	s.write(t, "x: podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {pod: b}}}]}]")
	s.expect(t, "x/b > x/a:8080", "x/c > x/a:8080, v/a > x/a:8080")
	for _, name := range []string{"x/a", "x/b"} {
		ns, short, _ := strings.Cut(name, "/")
		node := s.pods[name].Spec.NodeName
		s.remove(t, ns, short)
		s.c.CreatePod(t, pod(name, node))
	}
	s.look(t)
	s.expect(t, "x/b > x/a:8080, v/a > z/a:8080", "x/c > x/a:8080, v/a > x/a:8080, v/a > x/b:8080")
}

func (s *scene) remove(t *testing.T, ns, name string) {
	t.Helper()
	pods := s.c.Client.CoreV1().Pods(ns)
	testx.Eventually(t, cluster.Patience, "pod "+name+" is gone", func(ctx context.Context) error {
		_ = pods.Delete(ctx, name, metav1.DeleteOptions{})
		_, err := pods.Get(ctx, name, metav1.GetOptions{})
		if err == nil {
			return fmt.Errorf("%s/%s is there", ns, name)
		}
		return nil
	})
}

// What holds in outlives.
const (
	mixed    = "x: podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{from: [{namespaceSelector: {matchLabels: {ns: v}}}], ports: [{port: web}]}], egress: [{to: [{podSelector: {}}, {ipBlock: {cidr: $out/32}}]}]\n"
	mixedYes = "v/a > x/a:8080, v/a > x/b:8081, v/b > x/a:8080, x/a > out:8080, host.edge1 > x/a:8080, v/a > v/b:8080"
	mixedNo  = "v/a > x/a:8081, z/a > x/a:8080, x/a > x/c:8080, x/a > v/b:8080, x/b > x/a:8080, x/a > dns:53, x/a > api:443"
)

// outlives shows that policies hold while the agent is dead, from the first moment of the next one, and
// through a restart.
func (s *scene) outlives(t *testing.T) {
	edge := s.c.Node("edge1")
	s.write(t, mixed)
	s.expect(t, mixedYes, mixedNo)
	for _, how := range []string{"killed", "stopped"} {
		if how == "killed" {
			cluster.Must(t, edge.Kill())
		} else {
			cluster.Must(t, edge.Stop(t.Context()))
		}
		// What comes from other sites comes over the link of the agent, so only what stays is tried.
		local, closed := "v/b > x/a:8080, x/a > out:8080, host.edge1 > x/a:8080", "x/a > x/c:8080, x/a > v/b:8080, v/b > x/a:8081, x/a > dns:53"
		s.holds(t, "while the agent is "+how, local, closed)
		cluster.Must(t, edge.Start())
		for range 5 {
			s.holds(t, "while the agent starts after it was "+how, local, closed)
		}
		s.c.WaitNode(t, edge.Name(), corev1.ConditionTrue)
		s.expect(t, mixedYes, mixedNo)
	}
	cluster.Must(t, s.c.Server.Kill())
	s.holds(t, "while the server is dead", "v/b > x/a:8080, x/a > out:8080", "x/a > x/c:8080, v/b > x/a:8081")
	cluster.Must(t, s.c.Server.Start())
	s.c.Connect(t)
	s.c.WaitNodes(t)
	s.expect(t, mixedYes, mixedNo)
	s.write(t, "")
	s.expect(t, all, "")
}

// whileKilled goes some of the cases again, each right after an agent was killed and started.
func (s *scene) whileKilled(t *testing.T, cases []aCase) {
	const every = 4
	for i := 0; i < len(cases); i += every {
		t.Run(cases[i].name, func(t *testing.T) {
			n := s.c.Agents[(i/every)%len(s.c.Agents)]
			cluster.Must(t, n.Kill())
			cluster.Must(t, n.Start())
			s.walk(t, cases[i])
		})
	}
}
