package netpol

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/kedge-io/kedge/edgefw/model"
)

// fixture is the cluster of most tests: namespaces x, u and z, in each the pods
// a, b and c, by turns on nodes one and two. Pods serve 80 (named "web", on b
// 81), and 5353 by UDP ("talk").
func fixture() Input {
	in := Input{
		Namespaces: map[string]map[string]string{}, DNS: netip.MustParseAddr("10.43.0.10"),
		API: netip.MustParseAddr("10.43.0.1"), APIPorts: []uint16{443, 6444},
	}
	for i, ns := range []string{"x", "u", "z", "kube-system"} {
		in.Namespaces[ns] = map[string]string{"kubernetes.io/metadata.name": ns, "ns": ns}
		for j, pod := range []string{"a", "b", "c"} {
			if ns == "kube-system" {
				continue
			}
			web := uint16(80)
			if pod == "b" {
				web = 81
			}
			node := (i + j) % 2
			in.Pods = append(in.Pods, Pod{
				UID: ns + "-" + pod, Namespace: ns, Name: pod, Node: []string{"one", "two"}[node],
				Labels:    map[string]string{"pod": pod, "app": "shop"},
				Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 42, byte(node), byte(10 + 3*i + j)})},
				Ports:     []NamedPort{{"web", model.TCP, web}, {"talk", model.UDP, 5353}},
			})
		}
	}
	return in
}

// policies are the documents of a YAML text.
func policies(t testing.TB, text string) []*networkingv1.NetworkPolicy {
	t.Helper()
	var out []*networkingv1.NetworkPolicy
	for doc := range strings.SplitSeq(text, "---\n") {
		if strings.TrimSpace(doc) == "" {
			continue
		}
		p := &networkingv1.NetworkPolicy{}
		if err := yaml.UnmarshalStrict([]byte("{"+doc+"}"), p); err != nil {
			t.Fatalf("%v in %s", err, doc)
		}
		p.Name = fmt.Sprint("p", len(out)+1)
		out = append(out, p)
	}
	return out
}

// world asks the results of all nodes.
type world struct {
	in       Input
	compiled *Compiled
}

func compiledWorld(in Input) world { return world{in, Compile(in)} }

// local are the pods of a node as the node knows them.
func (w world) local(node string) map[string][]netip.Addr {
	out := map[string][]netip.Addr{}
	for _, p := range w.in.Pods {
		if p.Node == node && !p.HostNetwork && !p.Ended {
			out[p.UID] = p.Addresses
		}
	}
	return out
}

func (w world) node(addr netip.Addr) string {
	for _, p := range w.in.Pods {
		if slices.Contains(p.Addresses, addr) && !p.Ended && !p.HostNetwork {
			return p.Node
		}
	}
	return ""
}

// decide is what the nodes of both ends say.
func (w world) decide(p model.Packet) model.Decision {
	var last model.Decision
	nodes := []string{w.node(p.From.Addr()), w.node(p.To.Addr())}
	for _, n := range slices.Compact(nodes) {
		r := w.compiled.Of(n)
		d := DecidePod(&model.Ruleset{Pods: r.Rules, Sets: r.Sets}, w.local(n), p)
		if d.Verdict == model.Deny {
			return d
		}
		if last.Verdict != model.Allow {
			last = d
		}
	}
	return last
}

// addr is a pod "ns/name" or an address.
func (w world) addr(word string) netip.Addr {
	ns, name, ok := strings.Cut(word, "/")
	if !ok {
		return netip.MustParseAddr(word)
	}
	for _, p := range w.in.Pods {
		if p.Namespace == ns && p.Name == name {
			return p.Addresses[0]
		}
	}
	panic("no pod " + word)
}

// packet reads "x/a > u/b:80" or "x/a > u/b:80/udp".
func (w world) packet(text string) model.Packet {
	from, to, _ := strings.Cut(text, " > ")
	i := strings.LastIndex(to, ":")
	port, proto, _ := strings.Cut(to[i+1:], "/")
	if proto == "" {
		proto = "tcp"
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		panic(err)
	}
	return model.Packet{
		Protocol: model.Protocol(proto), From: netip.AddrPortFrom(w.addr(from), 40000),
		To: netip.AddrPortFrom(w.addr(to[:i]), uint16(n)),
	}
}

// expect tells what of a list "x/a > u/b:80, ..." is not so.
func (w world) expect(t *testing.T, what, list string, allowed bool) {
	t.Helper()
	for text := range strings.SplitSeq(list, ", ") {
		if text == "" {
			continue
		}
		if d := w.decide(w.packet(text)); (d.Verdict != model.Deny) != allowed {
			t.Errorf("%s: %s is %q (%s)", what, text, d.Verdict, d.Why)
		}
	}
}

func created(minute int) time.Time { return time.Date(2030, 1, 1, 0, minute, 0, 0, time.UTC) }
