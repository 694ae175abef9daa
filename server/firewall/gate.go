package firewall

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
)

// openedBy tells who is kept out what would let them in.
const openedBy = "An ingress rule that allows it (protocol tcp, ports [%d]) opens it; nodes need none, they join with their token"

// maxVerdicts bounds the addresses whose verdicts are kept for one ruleset.
const maxVerdicts = 8192

// gate decides who may ask the API. In the kernel the port is a door that
// strangers pass, because a machine must be able to join from anywhere; at the
// gate the rules of the server's own node count again, as if there were no door.
type gate struct {
	rules atomic.Pointer[gateRules]
	// names are the addresses that DNS names of rules have on the server's own
	// node now; nil for none.
	names func() map[string][]netip.Addr
}

// gateRules are the rules of one moment with the verdicts that they gave.
type gateRules struct {
	ruleset *model.Ruleset
	facts   model.Facts

	// lasting tells that verdicts hold for as long as the rules do: none of them
	// is about a name.
	lasting  bool
	mu       sync.RWMutex
	verdicts map[netip.Addr]verdict
}

// verdict is what the rules say about one address.
type verdict struct {
	open bool
	// rule decided, in a stranger's case.
	rule string
}

// set takes the rules of the server's own node; nil for none.
func (g *gate) set(rs *model.Ruleset, facts model.Facts) {
	if rs == nil {
		g.rules.Store(nil)
		return
	}
	facts.Door = 0
	r := &gateRules{ruleset: rs, facts: facts, lasting: true, verdicts: map[netip.Addr]verdict{}}
	for _, set := range rs.Sets {
		r.lasting = r.lasting && set.Name == ""
	}
	g.rules.Store(r)
}

// local is what the server's own node knows that rules do not say.
func (g *gate) local() plan.Local {
	if g.names == nil {
		return plan.Local{}
	}
	return plan.Local{Names: g.names()}
}

// ask tells whether a connection between these two may ask anything.
func (g *gate) ask(remote, local netip.AddrPort) verdict {
	from := remote.Addr().Unmap().WithZone("")
	// What comes from an address of this machine never was on a wire.
	if from.IsLoopback() || from == local.Addr().Unmap().WithZone("") {
		return verdict{open: true}
	}
	r := g.rules.Load()
	if r == nil {
		return verdict{open: true}
	}
	r.mu.RLock()
	v, ok := r.verdicts[from]
	r.mu.RUnlock()
	if !ok {
		v = r.decide(remote, local, g.local())
		r.keep(from, v)
	}
	return v
}

func (r *gateRules) decide(remote, local netip.AddrPort, known plan.Local) verdict {
	from := remote.Addr().Unmap().WithZone("")
	if contains(r.ruleset.Sets[plan.KnownSet].Prefixes, from) {
		return verdict{open: true}
	}
	d := plan.Decide(r.ruleset, r.facts, known, model.Packet{
		Direction: model.Ingress, Protocol: model.TCP,
		From: netip.AddrPortFrom(from, remote.Port()), To: netip.AddrPortFrom(local.Addr().Unmap().WithZone(""), local.Port()),
	})
	return verdict{open: d.Verdict == model.Allow || d.Verdict == model.Pass, rule: d.Rule}
}

// keep remembers a verdict that lasts, unless strangers have filled the memory.
func (r *gateRules) keep(from netip.Addr, v verdict) {
	if !r.lasting {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.verdicts) < maxVerdicts {
		r.verdicts[from] = v
	}
}

// contains looks an address up in sorted and disjoint prefixes.
func contains(prefixes []netip.Prefix, a netip.Addr) bool {
	low, high := 0, len(prefixes)
	for low < high {
		mid := (low + high) / 2
		switch p := prefixes[mid]; {
		case p.Contains(a):
			return true
		case p.Addr().Less(a):
			low = mid + 1
		default:
			high = mid
		}
	}
	return false
}

// Gate lets next answer those whom the rules let in at this port, with or
// without the door: who is in the rules, and nodes that prove by their
// certificate that they are of the cluster, wherever they are just now. Others
// are told which rule keeps them out. Paths of the supervisor do not come here.
func (f *Firewall) Gate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		remote, local, ok := f.ends(r)
		if !ok {
			next.ServeHTTP(w, r)
			return
		}
		v := f.gate.ask(remote, local)
		if v.open || f.ofCluster(r) {
			next.ServeHTTP(w, r)
			return
		}
		if f.quiet.First(remote.Addr().String()) {
			f.log.Warn("kept out of the API by the firewall", "address", remote.Addr(), "rule", v.rule, "path", r.URL.Path)
		}
		f.keptOut.Add(1)
		refuse(w, r, fmt.Sprintf("the edge firewall keeps %s out of the server's port %d: %s. "+openedBy,
			remote.Addr().Unmap(), local.Port(), because(v.rule), local.Port()))
	})
}

// ends are both addresses of a request's connection. Requests without them come
// from this process. What comes through a pipe counts as if it had come to the
// port directly.
func (f *Firewall) ends(r *http.Request) (remote, local netip.AddrPort, ok bool) {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return remote, local, false
	}
	to := f.cfg.Advertised
	if a, is := r.Context().Value(http.LocalAddrContextKey).(net.Addr); is {
		if at, err := netip.ParseAddrPort(a.String()); err == nil {
			to = at.Addr()
		}
	}
	return remote, netip.AddrPortFrom(to, f.cfg.Port), true
}

// ofCluster tells whether a request comes with the certificate of a node that
// belongs to the cluster now. A node that has just changed its address asks
// before its link is back; deleted and replaced ones are strangers.
func (f *Firewall) ofCluster(r *http.Request) bool {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 || f.cfg.Identify == nil {
		return false
	}
	node, err := f.cfg.Identify(r)
	return err == nil && f.places.member(node)
}

// refuse says it so that kubectl shows it. Of the paths that clients ask first, to
// learn what the API has, they show an error only if it is plain text.
func refuse(w http.ResponseWriter, r *http.Request, message string) {
	w.Header().Set("Cache-Control", "no-store")
	if r.URL.Path == "/api" || r.URL.Path == "/apis" {
		http.Error(w, message, http.StatusForbidden)
		return
	}
	status := metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusFailure, Reason: metav1.StatusReasonForbidden, Code: http.StatusForbidden, Message: message,
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusForbidden)
	_ = json.NewEncoder(w).Encode(status) // the client is gone: nobody to tell
}

// because names the firewall and its rule from the word for a rule.
func because(rule string) string {
	parts := strings.Split(rule, "/")
	switch {
	case len(parts) == 2 && parts[0] == "default":
		return fmt.Sprintf("by the default of EdgeFirewall %q", parts[1])
	case len(parts) == 3:
		return fmt.Sprintf("by rule %q of EdgeFirewall %q", parts[2], parts[0])
	}
	return fmt.Sprintf("by rule %q", rule)
}
