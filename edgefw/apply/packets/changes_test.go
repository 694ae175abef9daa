//go:build namespace

package packets

import (
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
)

// change is one from a ruleset under which flows begin to one under which some of
// them could not. The outcome of a line is what becomes of such a flow when it is
// begun after the change and, with onChange: cut, when it was before.
type change struct {
	name          string
	before, after ruling
}

var changes = []change{
	{name: "ingress from allowed to denied", before: ruling{firewalls: ingress(model.Allow)}, after: ruling{firewalls: ingress(model.Deny), packets: `
		stranger tcp  host:80      dropped
		stranger udp  host:53      dropped
		stranger icmp host         dropped
		stranger tcp  host:9100    dropped
		stranger tcp4 host:30080   dropped
		stranger udp4 host:30053   dropped
		stranger tcp4 host:8081    dropped
		stranger tcp4 host:8443    dropped
		stranger tcp4 service:80   dropped
		stranger tcp  host:9090    dropped
		stranger udp  host:9053    dropped
		pod      tcp4 host:80      dropped
		docker   tcp  host:80      dropped
		stranger tcp4 pod:8080     pod
		stranger tcp  docker:80    docker
		pod      tcp4 api:443      host
		pod      udp4 dns:53       host
		pod      tcp4 stranger:80  outside
		docker   tcp  stranger:80  outside
		admin    tcp  host:22      host
		node     tcp  loopback:80  host
		node     tcp  host:80      host
		node     tcp  stranger:80  outside
		node     udp  stranger:53  outside
		node     tcp4 service:80   pod
	`}},
	{name: "ingress from nothing to rejected", before: ruling{}, after: ruling{firewalls: ingress(model.Reject), packets: `
		stranger tcp  host:80      refused
		stranger udp  host:53      refused
		stranger icmp host         refused
		stranger tcp4 host:30080   refused
		stranger udp4 host:30053   refused
		stranger tcp4 host:8443    refused
		stranger tcp  host:9090    refused
		node     tcp  stranger:80  outside
		pod      udp4 dns:53       host
	`}},
	{name: "egress from nothing to denied", before: ruling{}, after: ruling{firewalls: egress(model.Deny), packets: `
		node     tcp  stranger:80  dropped
		node     udp  stranger:53  dropped
		node     icmp stranger     dropped
		node     tcp4 service:80   dropped
		node     tcp  docker:80    dropped
		node+link tcp stranger:80  outside
		node     tcp  server:6443  outside
		node     udp  resolver:53  outside
		node     tcp4 pod:8080     pod
		node     tcp  loopback:80  host
		stranger tcp  host:80      host
		stranger tcp4 host:30080   pod
		pod      tcp4 stranger:80  outside
	`}},
	{name: "egress from allowed to rejected", before: ruling{firewalls: egress(model.Allow)}, after: ruling{firewalls: egress(model.Reject), packets: `
		node     tcp  stranger:80  refused
		node     udp  stranger:53  refused
		node+link tcp stranger:80  outside
		stranger tcp  host:80      host
	`}},
	{name: "a rule is gone", before: ruling{firewalls: ingress(model.Deny, rule{Action: model.Allow, Peers: cidrs(friends...)}, rule{Action: model.Allow, Peers: one("stranger")})},
		after: ruling{firewalls: ingress(model.Deny, rule{Action: model.Allow, Peers: one("stranger")}), packets: `
		friend   tcp  host:80      dropped
		friend   udp  host:53      dropped
		friend   tcp4 host:30080   dropped
		stranger tcp  host:80      host
		stranger tcp4 host:30080   pod
	`}},
	{name: "an entry of a set is gone", before: ruling{firewalls: ingress(model.Deny, rule{Action: model.Allow, Peers: peer(model.Peer{AddressSet: "offices"})}),
		inventory: offices("listed", "friend")},
		after: ruling{firewalls: ingress(model.Deny, rule{Action: model.Allow, Peers: peer(model.Peer{AddressSet: "offices"})}), inventory: offices("friend"), packets: `
		listed   tcp  host:80      dropped
		listed   udp  host:53      dropped
		listed   tcp4 host:30080   dropped
		listed   tcp  host:9090    dropped
		friend   tcp  host:80      host
		friend   udp  host:53      host
	`}},
	{name: "a node is deleted", before: ruling{firewalls: ingress(model.Deny, rule{Action: model.Allow, Peers: peer(model.Peer{Cluster: true})})},
		after: ruling{firewalls: ingress(model.Deny, rule{Action: model.Allow, Peers: peer(model.Peer{Cluster: true})}),
			inventory: func(i *model.Inventory) { i.Nodes = slices.Delete(slices.Clone(i.Nodes), 1, 2) }, packets: `
		peer     tcp  host:80      dropped
		peer     icmp host         dropped
		server   tcp  host:80      host
		pod      tcp4 host:80      host
	`}},
}

// offices changes the members of the AddressSet.
func offices(who ...string) func(*model.Inventory) {
	return func(i *model.Inventory) {
		var list []netip.Prefix
		for _, w := range who {
			for _, a := range both(w) {
				list = append(list, netip.PrefixFrom(a, a.BitLen()))
			}
		}
		i.AddressSets = map[string]model.AddressSet{"offices": {Name: "offices", Prefixes: list}}
	}
}

// with sets onChange of all firewalls.
func (r ruling) with(on model.OnChange) ruling {
	r.firewalls = slices.Clone(r.firewalls)
	for i := range r.firewalls {
		r.firewalls[i].OnChange = on
	}
	return r
}

func TestEstablishedFlowsWhenRulesChange(t *testing.T) {
	variants(t, func(t *testing.T, s *site, k *apply.Kernel) {
		wait := s.calibrate(t, s.enforce(t, k, open))
		for _, c := range changes {
			for _, on := range []model.OnChange{model.Keep, model.Cut} {
				t.Run(c.name+", "+string(on), func(t *testing.T) {
					s.enforce(t, k, c.before.with(on))
					s.forget(t)
					flows := s.beginAll(t, c.after.probes(t))
					e := s.enforce(t, k, c.after.with(on))
					if _, err := k.Cut(t.Context(), e.mayLive); err != nil {
						t.Fatal(err)
					}
					goOn(t, flows, on, wait)
					e.check(t, c.after.probes(t), wait)
				})
			}
		}
	})
}

// mayLive is what a node asks of flows after a change.
func (e *enforced) mayLive(p model.Packet) bool {
	rs := *e.wish.Ruleset
	if !rs.Host.Cut {
		rs.Host = model.HostRules{}
	}
	d := plan.Decide(&rs, e.wish.Facts, e.wish.Local, p)
	return d.Verdict != model.Deny && d.Verdict != model.Reject
}

func (s *site) beginAll(t *testing.T, probes []probe) []*flow {
	t.Helper()
	flows := make([]*flow, len(probes))
	var all sync.WaitGroup
	for i, p := range probes {
		all.Go(func() { flows[i] = s.begin(p, patience) })
	}
	all.Wait()
	for _, f := range flows {
		if f.err != nil {
			t.Fatalf("%s: before the change: %v", f.name(), f.err)
		}
		t.Cleanup(f.close)
	}
	return flows
}

// goOn compares what becomes of flows with the table: kept ones all go on, of those
// that may be cut the ones that could begin now. How the others end is their own
// matter: processes of the host are told.
func goOn(t *testing.T, flows []*flow, on model.OnChange, wait time.Duration) {
	got := make([]string, len(flows))
	var all sync.WaitGroup
	for i, f := range flows {
		all.Go(func() {
			if f.expect(on) == dropped {
				got[i] = f.talk(wait)
			} else {
				got[i] = f.talk(patience)
			}
		})
	}
	all.Wait()
	for i, f := range flows {
		if want := f.expect(on); (got[i] == alive) != (want == alive) {
			t.Errorf("%s: begun before: got %s, want %s", f.name(), got[i], want)
		}
	}
}

func (f *flow) expect(on model.OnChange) string {
	if on == model.Cut && (f.want == dropped || f.want == refused) {
		return f.want
	}
	return alive
}
