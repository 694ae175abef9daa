package render

import (
	"net/netip"

	"github.com/kedge-io/kedge/edgefw/model"
)

// pods are network policies: asked where packets are forwarded, with the
// addresses of the pods themselves, and where pods ask what this machine offers
// under an address of the cluster. The node itself always reaches its pods.
func (w *writer) pods() {
	p := w.Ruleset.Pods
	if !w.Facts.PodRange.IsValid() || !w.Family.Of(w.Facts.PodRange.Addr()) {
		return
	}
	out, in := w.known(p.IsolatedEgress), w.known(p.IsolatedIngress)
	if !out && !in {
		return
	}
	forward := chain{name: "FWD"}
	forward.add(established, "-j RETURN")
	forward.jump(midway, "PN")
	bodies := []chain{w.begun(out, in)}
	if out {
		forward.jump(w.match(p.IsolatedEgress, "src"), "PE")
		bodies = append(bodies, w.policy("PE", model.Egress, p.Egress, "src", "dst"))
	}
	if in {
		forward.jump(w.match(p.IsolatedIngress, "dst"), "PI")
		bodies = append(bodies, w.policy("PI", model.Ingress, p.Ingress, "dst", "src"))
	}
	w.finish(forward)
	if out {
		w.podsToMachine(p.IsolatedEgress)
	}
	w.finish(bodies...)
}

// midway is a TCP connection that the kernel sees for the first time and that does
// not begin now: it was cut.
const midway = "-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -m conntrack --ctstate NEW"

// begun drops what isolated pods send and get in connections that were cut. The
// end that may send would otherwise revive one, as the kernel takes up
// connections in the middle (nf_conntrack_tcp_loose).
func (w *writer) begun(out, in bool) chain {
	c := chain{name: "PN"}
	for _, where := range []string{"src", "dst"} {
		if out {
			c.add(join(w.match(w.Ruleset.Pods.IsolatedEgress, where), comment("policy/egress")), "-j DROP")
		}
		if in {
			c.add(join(w.match(w.Ruleset.Pods.IsolatedIngress, where), comment("policy/ingress")), "-j DROP")
		}
	}
	return c
}

// podsToMachine is the cluster's DNS and API. Their packets may be untracked.
func (w *writer) podsToMachine(isolated model.SetID) {
	input := chain{name: "IN"}
	for _, addr := range []netip.Addr{w.Facts.ClusterDNS, w.Facts.API} {
		if addr.IsValid() && w.Family.Of(addr) {
			to, _ := w.address("-d", netip.PrefixFrom(addr, addr.BitLen()))
			input.jump(join(to, "-m conntrack ! --ctstate RELATED,ESTABLISHED", w.match(isolated, "src")), "PE")
		}
	}
	if len(input.rules) > 0 {
		w.finish(input)
	}
}

// policy returns what a rule allows and drops the rest.
func (w *writer) policy(name string, d model.Direction, rules []model.PodRule, pod, peer string) chain {
	c := chain{name: name}
	for _, r := range rules {
		if !w.known(r.Pods) {
			continue
		}
		for _, m := range product(w.protocols(r.Protocol, r.Ports), w.peers(r.Peers, r.Anybody, peer)) {
			c.add(w.podMatch(m, r, pod), "-j RETURN")
		}
	}
	w.self(&c, d)
	id := "policy/" + string(d)
	w.log(&c, id, model.Deny)
	c.add(comment(id), "-j DROP")
	return c
}

// self lets a pod reach itself by the address of its service, whatever its
// policies say. No set that all kernels have can tell that both ends are the same;
// only packets that would be dropped come here.
func (w *writer) self(c *chain, d model.Direction) {
	isolated := w.Ruleset.Pods.IsolatedIngress
	if d == model.Egress {
		isolated = w.Ruleset.Pods.IsolatedEgress
	}
	for _, uid := range w.Ruleset.Sets[isolated].Pods {
		for _, a := range w.Pods[uid] {
			if from, ok := w.address("-s", netip.PrefixFrom(a, a.BitLen())); ok {
				to, _ := w.address("-d", netip.PrefixFrom(a, a.BitLen()))
				c.add(join(from, to), "-j RETURN")
			}
		}
	}
}

func (w *writer) podMatch(match string, r model.PodRule, pod string) string {
	return join(match, w.match(r.Pods, pod), comment(r.ID))
}
