package firewall

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
	"github.com/kedge-io/kedge/edgefw/view"
)

// Handlers answer kedge firewall about this node, by path.
func (f *Firewall) Handlers() map[string]http.Handler {
	return map[string]http.Handler{
		view.PathNode:     http.HandlerFunc(f.serveNode),
		view.PathCounters: http.HandlerFunc(f.serveCounters),
		view.PathRuleset:  http.HandlerFunc(f.serveRuleset),
		view.PathDecide:   http.HandlerFunc(f.serveDecide),
		view.PathCheck:    http.HandlerFunc(f.serveCheck),
	}
}

func (f *Firewall) serveNode(w http.ResponseWriter, _ *http.Request) {
	n := f.loop.Snapshot()
	n.Node = f.cfg.NodeName
	answer(w, n)
}

func (f *Firewall) serveCounters(w http.ResponseWriter, _ *http.Request) {
	counters, err := f.loop.Counters()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer(w, counters)
}

func (f *Firewall) serveRuleset(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if rs := f.loop.Ruleset(); rs != nil {
		fmt.Fprint(w, plan.Text(rs))
	}
}

func (f *Firewall) serveCheck(w http.ResponseWriter, r *http.Request) {
	lines, err := f.loop.Differences(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	for _, line := range lines {
		fmt.Fprintln(w, line)
	}
}

func (f *Firewall) serveDecide(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	p, err := packetOf(q.Get(view.QueryFrom), q.Get(view.QueryTo), q.Get(view.QueryProtocol))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.Link = q.Get(view.QueryLink)
	p.Direction = model.Ingress
	if slices.Contains(addresses(), p.From.Addr()) {
		p.Direction = model.Egress
	}
	answer(w, view.Decision{Node: f.cfg.NodeName, Packet: p, Decision: f.loop.Decide(p)})
}

// packetOf reads the description of a packet.
func packetOf(from, to, protocol string) (p model.Packet, err error) {
	if p.From, err = endOf(from); err != nil {
		return p, fmt.Errorf("%s: %w", view.QueryFrom, err)
	}
	if p.To, err = endOf(to); err != nil {
		return p, fmt.Errorf("%s: %w", view.QueryTo, err)
	}
	switch p.Protocol = model.Protocol(protocol); p.Protocol {
	case model.TCP, model.UDP, model.ICMP, model.SCTP:
	case model.AnyProtocol:
		p.Protocol = model.TCP
	default:
		return p, fmt.Errorf("protocol %q: give tcp, udp, icmp or sctp", protocol)
	}
	return p, nil
}

// endOf reads ADDRESS or ADDRESS:PORT.
func endOf(text string) (netip.AddrPort, error) {
	if at, err := netip.ParseAddrPort(text); err == nil {
		return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), nil
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q: give ADDRESS or ADDRESS:PORT", text)
	}
	return netip.AddrPortFrom(addr.Unmap(), 0), nil
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client is gone: nobody to tell
}
