package firewall

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
	"github.com/kedge-io/kedge/edgefw/view"
)

func (f *Firewall) serveExplain(w http.ResponseWriter, r *http.Request) {
	now := f.compiled.Load()
	if now == nil {
		http.Error(w, errNotYet, http.StatusServiceUnavailable)
		return
	}
	q := r.URL.Query()
	x, err := f.explain(r.Context(), now, q.Get(view.QueryFrom), q.Get(view.QueryTo), q.Get(view.QueryProtocol))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer(w, x)
}

func protocolOf(text string) (model.Protocol, error) {
	switch p := model.Protocol(text); p {
	case model.AnyProtocol:
		return model.TCP, nil
	case model.TCP, model.UDP, model.ICMP, model.SCTP:
		return p, nil
	default:
		return p, fmt.Errorf("protocol %q is none that firewalls know: use tcp, udp, icmp or sctp", text)
	}
}

// explain follows a packet from one end to the other.
func (f *Firewall) explain(ctx context.Context, now *compiled, from, to, protocol string) (*view.Explanation, error) {
	proto, err := protocolOf(protocol)
	if err != nil {
		return nil, err
	}
	find := finder{ctx: ctx, api: f.api, inv: now.input.Inventory}
	a, err := find.find(from)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", view.QueryFrom, err)
	}
	b, err := find.find(to)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", view.QueryTo, err)
	}
	if b.Address.Port() == 0 && proto != model.ICMP {
		return nil, fmt.Errorf("%s: %q names no port: write for instance %s:443", view.QueryTo, to, to)
	}
	if a.Address.Port() == 0 && proto != model.ICMP {
		a.Address = netip.AddrPortFrom(a.Address.Addr(), clientPort)
	}
	x := &view.Explanation{From: a.End, To: b.End, Protocol: proto}
	for _, s := range stepsOf(a, b, proto) {
		f.decide(ctx, now, &s)
		x.Steps = append(x.Steps, s.Step)
	}
	x.Verdict, x.Why = sumUp(x)
	return x, nil
}

// clientPort stands for the port of a client, which no rule asks about.
const clientPort = 40000

// step is a place that decides, and the pod that it decides about.
type step struct {
	view.Step
	uid  string
	addr netip.Addr
	// own are the node's addresses.
	own []netip.Addr
}

// stepsOf are the places that have a say: the sender's node, then the receiver's.
// On one machine both are one.
func stepsOf(a, b end, protocol model.Protocol) []step {
	var steps []step
	packet := func(d model.Direction, from, to netip.AddrPort) model.Packet {
		return model.Packet{Direction: d, Protocol: protocol, From: from, To: to}
	}
	add := func(e end, p model.Packet) {
		s := step{Step: view.Step{Node: e.Node, Direction: p.Direction, Packet: p}, own: union(e.at.Reported, e.at.Public)}
		if e.pod != nil {
			s.Pod, s.uid, s.addr = e.Pod, e.pod.UID, e.Address.Addr()
		}
		steps = append(steps, s)
	}
	if a.at != nil {
		add(a, packet(model.Egress, ownSide(a), seenAs(b, a)))
	}
	if b.at != nil && (b.Node != a.Node || b.pod != nil && a.pod == nil || b.pod == nil && a.pod != nil) {
		add(b, packet(model.Ingress, senderFor(a, b), ownSide(b)))
	}
	return steps
}

// senderFor is where the receiver's node sees a packet come from. To hosts of
// other nodes a pod comes as its own node.
func senderFor(a, b end) netip.AddrPort {
	if a.pod != nil && b.pod == nil && a.Node != b.Node {
		a.pod = nil
		if own, ok := ownAddress(*a.at); ok {
			a.Address = netip.AddrPortFrom(own, a.Address.Port())
		}
	}
	return seenAs(a, b)
}

// decide asks the node itself, for it knows what its kernel has, and its names;
// else the rules that the server wants it to have.
func (f *Firewall) decide(ctx context.Context, now *compiled, s *step) {
	query := url.Values{view.QueryFrom: {s.Packet.From.String()}, view.QueryTo: {s.Packet.To.String()}, view.QueryProtocol: {string(s.Packet.Protocol)}}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	var said view.Decision
	if err := f.ask(ctx, s.Node, view.PathDecide, query, &said); err == nil {
		s.Asked, s.Decision = true, said.Decision
		return
	}
	facts, _ := f.factsOf(ctx, s.Node) // what is certain without the node is enough here
	local := plan.Local{Addresses: s.own}
	if s.uid != "" {
		local.Pods = map[string][]netip.Addr{s.uid: {s.addr}}
	}
	if rs := now.Rulesets[s.Node]; rs != nil {
		s.Decision = plan.Decide(rs, facts, local, s.Packet)
	}
}

// sumUp is what becomes of the packet in the end.
func sumUp(x *view.Explanation) (model.Action, string) {
	verdict, why := model.Pass, "no rule is about it: other firewalls of the machines decide"
	if len(x.Steps) == 0 {
		return verdict, "neither end is a node or pod of the cluster"
	}
	for _, s := range x.Steps {
		switch s.Verdict {
		case model.Deny, model.Reject:
			return s.Verdict, fmt.Sprintf("%s stops it at %s of node %s: %s", s.Rule, s.Direction, s.Node, s.Why)
		case model.Allow:
			verdict, why = model.Allow, "every rule that is about it lets it pass"
		default:
		}
	}
	return verdict, why
}
