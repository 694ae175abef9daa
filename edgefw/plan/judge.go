package plan

import (
	"fmt"

	"github.com/kedge-io/kedge/edgefw/model"
)

// host asks the rules of the host.
func (j *judge) host(p model.Packet) model.Decision {
	p.Link = j.linkOf(p)
	chain := &j.rs.Host.Ingress
	if p.Direction == model.Egress {
		chain = &j.rs.Host.Egress
	}
	if !active(chain) {
		return model.Decision{Why: fmt.Sprintf("no firewall says anything about %s here", p.Direction)}
	}
	if p.Direction == model.Ingress && !j.inScope(p) {
		return model.Decision{Why: fmt.Sprintf("%s is no address of this node", p.To.Addr())}
	}
	for _, rule := range j.implied[p.Direction] {
		if j.matchesImplied(&rule, p) {
			return model.Decision{Verdict: model.Allow, Rule: rule.ID(), Why: rule.Why(), Limited: rule.Rate != nil}
		}
	}
	return j.chain(chain, p)
}

// chain is the rules of people, in order, then the default.
func (j *judge) chain(c *model.Chain, p model.Packet) model.Decision {
	d := model.Decision{}
	for i := range c.Rules {
		rule := &c.Rules[i]
		why, ok := j.matches(rule, p)
		if !ok {
			continue
		}
		if rule.Action == model.Log {
			d.Logged = append(d.Logged, rule.ID)
			continue
		}
		d.Verdict, d.Rule, d.Why = rule.Action, rule.ID, "the first rule that matches: "+why
		d.Limited = rule.Rate != nil || rule.Connections != nil
		return d
	}
	if c.Default == model.Pass {
		d.Why = fmt.Sprintf("no rule for %s matches, and no firewall has a default", p.Direction)
		return d
	}
	d.Verdict, d.Rule, d.Why = c.Default, "default/"+c.DefaultFrom, fmt.Sprintf("no rule for %s matches", p.Direction)
	return d
}

// inScope tells whether a packet that comes is one of those that the kernel asks
// about: to the host, or to a service that others than pods want.
func (j *judge) inScope(p model.Packet) bool {
	to := p.To.Addr()
	if j.isHost(to) {
		return true
	}
	return j.isService(to) && p.Link != loopbackLink && p.Link != j.facts.PodLink && p.Link != j.facts.RelayLink
}

// linkOf is the device of a packet as far as its addresses tell.
func (j *judge) linkOf(p model.Packet) string {
	from, to := p.From.Addr(), p.To.Addr()
	switch {
	case p.Link != "":
		return p.Link
	case to.IsLoopback(), j.isOwn(to) && (p.Direction == model.Egress || j.isOwn(from)):
		return loopbackLink
	case p.Direction == model.Ingress && j.isPodRange(from):
		return j.facts.PodLink
	default:
		return ""
	}
}
