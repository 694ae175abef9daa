package render

import (
	"fmt"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
)

const established = "-m conntrack --ctstate RELATED,ESTABLISHED"

// section is one direction of the host's rules while it is written. Its chain
// is reached by a goto or by the jump of a hook, so that RETURN in it, and in
// chains that it goes to, lets the packet on to the rules of others.
type section struct {
	w         *writer
	direction model.Direction
	rules     model.Chain
	letter    string // begins the names of its rules' chains
	peer      string // where the other end is: src or dst
	main      chain
	aside     []chain
	// early are rules that must see established packets, too.
	early []rule
}

func opinion(c model.Chain) bool { return len(c.Rules) > 0 || c.Default != model.Pass }

// ingress is asked before any address translation: packets have the port that
// the client used, whether a process, a pod or a container answers there.
func (w *writer) ingress() {
	if !opinion(w.Ruleset.Host.Ingress) {
		return
	}
	s := section{w: w, direction: model.Ingress, rules: w.Ruleset.Host.Ingress, letter: "I", peer: "src", main: chain{name: "HI"}}
	s.write()
	hook := chain{name: "PRE", rules: s.early}
	hook.add(established, "-j RETURN")
	for _, m := range w.toHost() {
		hook.leave(m, s.main.name)
	}
	w.toServices(&hook, s.main.name)
	w.finish(hook, s.main)
	w.finish(s.aside...)
}

// toHost are the matches of packets that the host itself takes. Of several types
// IPv4 wants one and IPv6 wants all (net/netfilter/xt_addrtype.c). A host that
// forwards also hears the address that all routers of a network have (RFC 4291
// 2.6.1).
func (w *writer) toHost() []string {
	if w.Family == V6 {
		return []string{"-m addrtype --dst-type LOCAL", "-d ff00::/8", "-m addrtype --dst-type ANYCAST"}
	}
	return []string{"-m addrtype --dst-type LOCAL,BROADCAST,MULTICAST"}
}

// toServices sends packets from outside to service addresses to the rules;
// those of pods are not the host's traffic.
func (w *writer) toServices(hook *chain, to string) {
	if !w.Facts.Services.IsValid() {
		return
	}
	services, ok := w.address("-d", w.Facts.Services)
	if !ok {
		return
	}
	for _, link := range []string{"lo", w.Facts.PodLink, w.Facts.RelayLink} {
		if link != "" {
			hook.add(join(services, "-i "+link), "-j RETURN")
		}
	}
	hook.leave(services, to)
}

// egress is asked before address translation, too: a service is known by its
// own address.
func (w *writer) egress() {
	if !opinion(w.Ruleset.Host.Egress) {
		return
	}
	s := section{w: w, direction: model.Egress, rules: w.Ruleset.Host.Egress, letter: "O", peer: "dst", main: chain{name: "OUT"}}
	s.write()
	s.main.rules = append(append(s.early, rule{match: established, target: "-j RETURN"}), s.main.rules...)
	w.finish(s.main)
	w.finish(s.aside...)
}

func (s *section) write() {
	s.saveMark()
	for _, i := range plan.ImpliedRules(s.w.Facts, s.direction) {
		s.implied(i)
	}
	for n, r := range s.rules.Rules {
		s.rule(fmt.Sprintf("%s%d", s.letter, n+1), r)
	}
	if s.rules.Default != model.Pass {
		s.verdict(&s.main, "default/"+s.rules.DefaultFrom, s.rules.Default, comment("default/"+s.rules.DefaultFrom))
	}
}

// rule writes one rule. Its lines are counted where they match, whatever its
// limits do then.
func (s *section) rule(name string, r model.HostRule) {
	matches := product(s.w.protocols(r.Protocol, r.Ports), s.w.peers(r.Peers, r.Anybody, s.peer))
	if len(matches) == 0 {
		return
	}
	if r.Action == model.Allow && r.Rate == nil && r.Connections == nil && !r.Log {
		for _, m := range matches {
			s.main.add(join(m, comment(r.ID)), "-j RETURN")
		}
		return
	}
	body := chain{name: name}
	s.limits(&body, r)
	if r.Log || r.Action == model.Log {
		s.w.log(&body, r.ID, r.Action)
	}
	if r.Action != model.Log {
		s.end(&body, r)
	}
	s.aside = append(s.aside, body)
	if r.Action == model.Log {
		s.note(r, name, matches)
		return
	}
	for _, m := range matches {
		s.main.leave(join(m, comment(r.ID)), name)
	}
}

// note sends packets to a chain and back. Its matches are aside: what was noted
// goes on to the next rule, not to another match of this one.
func (s *section) note(r model.HostRule, name string, matches []string) {
	matched := chain{name: name + "M"}
	for _, m := range matches {
		matched.leave(join(m, comment(r.ID)), name)
	}
	s.main.jump("", matched.name)
	s.aside = append(s.aside, matched)
}

// end is what becomes of the packet; the end of a chain is a RETURN.
func (s *section) end(c *chain, r model.HostRule) {
	if r.Action == model.Allow {
		return
	}
	if r.Log { // that is done
		s.final(c, r.Action, "")
		return
	}
	s.verdict(c, r.ID, r.Action, "")
}

// verdict ends a chain; what is refused is noted.
func (s *section) verdict(c *chain, id string, action model.Action, comment string) {
	if action != model.Allow {
		s.w.log(c, id, action)
	}
	s.final(c, action, comment)
}

func (s *section) final(c *chain, action model.Action, comment string) {
	switch action {
	case model.Allow:
		c.add(comment, "-j RETURN")
	case model.Reject:
		// The kernel answers in table filter only, and after routing.
		s.w.table.Rejects = true
		c.add(comment, fmt.Sprintf("-j MARK --set-xmark %#x/0xffffffff", model.RejectMark))
	default:
		c.add(comment, "-j DROP")
	}
}
