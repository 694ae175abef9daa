//go:build namespace

package podpackets

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
)

// policies are asked about with all packets of matrix, one set of them per entry.
var policies = []string{
	"",
	"x: podSelector: {}",
	"x: podSelector: {}, policyTypes: [Egress]",
	"x: podSelector: {}, policyTypes: [Ingress, Egress]",
	"x: podSelector: {}, ingress: [{}]",
	"x: podSelector: {matchLabels: {pod: a}}",
	"x: podSelector: {}, ingress: [{from: [{podSelector: {}}]}]",
	"x: podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: v}}}]}]",
	"x: podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: v}}, podSelector: {matchLabels: {pod: e}}}]}]",
	"x: podSelector: {}, ingress: [{ports: [{port: 80}]}]",
	"x: podSelector: {}, ingress: [{ports: [{port: 80, protocol: UDP}]}]",
	"x: podSelector: {}, ingress: [{ports: [{protocol: UDP}, {port: 81}]}]",
	"x: podSelector: {}, ingress: [{ports: [{port: 81, endPort: 90}, {port: 1, endPort: 60, protocol: UDP}]}]",
	"x: podSelector: {}, ingress: [{ports: [{port: web}]}]",
	"x: podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: web}]}]",
	"x: podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}, podSelector: {matchLabels: {k8s-app: kube-dns}}}], ports: [{port: 53, protocol: UDP}]}]",
	"x: podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.43.0.1/32}}], ports: [{port: 443}]}]",
	"x: podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.42.0.0/16]}}]}]",
	"x: podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: 80}]}]",
	"x: podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/24}}, {podSelector: {matchLabels: {pod: b}}}]}]",
	"x: podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {pod: nobody}}}]}]",
	"x: podSelector: {}, ingress: [{from: [{podSelector: {}}]}]\nv: podSelector: {}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}]",
	"v: podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{from: [{namespaceSelector: {matchLabels: {ns: x}}}], ports: [{port: 80}]}], egress: [{to: [{namespaceSelector: {matchLabels: {ns: x}}}], ports: [{port: 81}]}]",
}

func read(t testing.TB, text string) (all []*networkingv1.NetworkPolicy) {
	t.Helper()
	for line := range strings.Lines(text) {
		ns, spec, _ := strings.Cut(strings.TrimSpace(line), ": ")
		p := &networkingv1.NetworkPolicy{}
		if err := yaml.UnmarshalStrict([]byte("{spec: {"+spec+"}}"), p); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		p.Namespace, p.Name = ns, fmt.Sprint("p", len(all))
		all = append(all, p)
	}
	return all
}

// matrix is from everybody to everybody, as far as one end is a pod of the node.
func matrix() (all []packet) {
	for _, from := range []string{"x/a", "x/b", "v/c", "x/d", "v/e", "out", "node"} {
		for _, to := range []string{"x/a", "x/b", "v/c", "x/d", "out", "dns", "api"} {
			own := slices.Contains(here, from)
			if from == to || !own && !slices.Contains(here, to) {
				continue
			}
			for _, p := range []packet{{protocol: model.TCP, port: 80}, {protocol: model.TCP, port: 81}, {protocol: model.UDP, port: 80}, {protocol: model.UDP, port: 53}, {protocol: model.TCP, port: 443}} {
				p.from, p.to = from, to
				if (to == "api") == (p.port == 443) {
					all = append(all, p)
				}
			}
		}
	}
	return all
}

func TestKernelDoesWhatTheRulesSay(t *testing.T) {
	each(t, func(t *testing.T, e *enforced) {
		passed, dropped := 0, 0
		for _, text := range policies {
			e.apply(wishFor(text, t))
			e.cut() // as the node's loop does: a port may have been used before
			packets := matrix()
			got := make([]bool, len(packets))
			var wg sync.WaitGroup
			for i, p := range packets {
				wg.Go(func() {
					// What is to pass may take its time.
					wait := 300 * time.Millisecond
					if e.says(p).Verdict != model.Deny {
						wait = 10 * time.Second
					}
					got[i] = e.passes(p, wait)
				})
			}
			wg.Wait()
			for i, p := range packets {
				d := e.says(p)
				if got[i] != (d.Verdict != model.Deny) {
					t.Errorf("%q: %s passes: %t, the rules say %q: %s", text, p, got[i], d.Verdict, d.Why)
				}
				if got[i] {
					passed++
				} else {
					dropped++
				}
			}
			if t.Failed() {
				t.Fatal(e.node.Run("iptables-" + string(e.variant) + "-save -t mangle; ipset list"))
			}
		}
		t.Logf("%d packets passed, %d were dropped", passed, dropped)
	})
}

func TestAServiceIsItsPods(t *testing.T) {
	each(t, func(t *testing.T, e *enforced) {
		service := packet{from: "v/c", to: "service", protocol: model.TCP, port: 80} // port 81 of a
		e.apply(wishFor("x: podSelector: {}, ingress: [{ports: [{port: 81}]}]", t))
		if !e.passes(service, 5*time.Second) {
			t.Error("the target's port is allowed, the service does not answer")
		}
		e.apply(wishFor("x: podSelector: {}, ingress: [{ports: [{port: 80}]}]", t))
		e.cut()
		if e.passes(service, 300*time.Millisecond) {
			t.Error("only another port is allowed, the service answers")
		}
		e.apply(wishFor("v: podSelector: {}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}, {ipBlock: {cidr: 10.43.0.100/32}}]}]", t))
		if e.passes(service, 300*time.Millisecond) {
			t.Error("only the service's address is allowed, which says nothing of its pods, and it answers")
		}
	})
}

func TestAPodReachesItselfByItsService(t *testing.T) {
	each(t, func(t *testing.T, e *enforced) {
		e.apply(wishFor("x: podSelector: {}, policyTypes: [Ingress, Egress]", t))
		if !e.passes(packet{from: "x/a", to: "service", protocol: model.TCP, port: 80}, 5*time.Second) {
			t.Error("the pod does not reach itself")
		}
		if e.passes(packet{from: "x/b", to: "service", protocol: model.TCP, port: 80}, 300*time.Millisecond) {
			t.Error("another pod reaches it as well")
		}
		if o, err := e.kernel.Observe(t.Context()); err != nil || !o.Equal {
			t.Errorf("observed %+v, %v", o, err)
		}
	})
}

func TestAPodThatStartsIsIsolatedAtOnce(t *testing.T) {
	each(t, func(t *testing.T, e *enforced) {
		w := wishFor("x: podSelector: {}", t)
		all := w.Local.Pods
		w.Local.Pods = map[string][]netip.Addr{"v/c": all["v/c"]}
		e.apply(w)
		w.Local.Pods = all
		if r := e.apply(w); r.Way == apply.Nothing {
			t.Error("nothing was done for pods that started")
		}
		for _, to := range []string{"x/a", "x/b"} {
			if e.passes(packet{"v/c", to, model.UDP, 80}, 200*time.Millisecond) {
				t.Errorf("%s gets what it may not", to)
			}
		}
	})
}

// TestCutFlowsDoNotComeBack also when the side speaks that may send.
func TestCutFlowsDoNotComeBack(t *testing.T) {
	each(t, func(t *testing.T, e *enforced) {
		e.apply(wishFor("", t))
		for _, speaksFirst := range []string{"client", "server"} {
			client, server := e.connect(t, packet{"v/c", "x/a", model.TCP, 8000})
			e.apply(wishFor("x: podSelector: {}", t))
			if n := e.cut(); n == 0 {
				t.Fatal("no flow was cut")
			}
			from, to := client, server
			if speaksFirst == "server" {
				from, to = server, client
			}
			heard := says(from, to)
			if speaksFirst == "server" {
				heard = heard || says(to, from)
			}
			if heard {
				t.Errorf("after the cut the %s speaks and is heard", speaksFirst)
			}
			_, _ = client.Close(), server.Close()
			e.apply(wishFor("", t))
		}
	})
}

// cut ends the flows that the rules of now do not let begin.
func (e *enforced) cut() int {
	e.t.Helper()
	n, err := e.kernel.Cut(e.t.Context(), func(p model.Packet) bool {
		return plan.Decide(e.wish.Ruleset, e.wish.Facts, e.wish.Local, p).Verdict != model.Deny
	})
	if err != nil {
		e.t.Fatal(err)
	}
	return n
}

// says tells whether the other end hears what one says.
func says(from, to net.Conn) bool {
	deadline := time.Now().Add(400 * time.Millisecond)
	_ = to.SetReadDeadline(deadline)
	_, _ = from.Write([]byte("hello"))
	n, _ := to.Read(make([]byte, 64))
	return n > 0
}

// connect opens a connection and returns both ends.
func (e *enforced) connect(t *testing.T, p packet) (client, server net.Conn) {
	t.Helper()
	var l net.Listener
	var err error
	e.host(p.to).Do(func() { l, err = net.Listen("tcp", fmt.Sprint(":", p.port)) })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	e.host(p.from).Do(func() { client, err = e.dial(p, 5*time.Second) })
	if err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	if !says(client, server) || !says(server, client) {
		t.Fatal("the connection does not work")
	}
	return client, server
}
