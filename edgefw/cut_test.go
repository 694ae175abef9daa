package edgefw

import (
	"net/netip"
	"testing"

	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
)

func TestWhichFlowsMayLive(t *testing.T) {
	wish := apply.Wish{
		Ruleset: &model.Ruleset{
			Host: model.HostRules{Ingress: model.Chain{Default: model.Deny, DefaultFrom: "closed"}},
			Pods: model.PodRules{Known: []string{"uid"}, Guarded: []string{"shop"}, IsolatedIngress: "pods/all", IsolatedEgress: "pods/all"},
			Sets: map[model.SetID]model.Set{"pods/all": {Pods: []string{"uid"}}},
		},
		Facts: model.Facts{PodRange: netip.MustParsePrefix("10.42.0.0/24"), PodLink: "kedge0", ClusterDNS: netip.MustParseAddr("10.43.0.10")},
		Local: plan.Local{Pods: map[string][]netip.Addr{"uid": {netip.MustParseAddr("10.42.0.5")}},
			Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("10.42.0.1"), netip.MustParseAddr("10.43.0.10")}},
	}
	for _, c := range []struct {
		name      string
		direction model.Direction
		from, to  string
		keep, cut bool
	}{
		{"the node to its isolated pod", model.Egress, "10.42.0.1:40000", "10.42.0.5:80", true, true},
		{"another pod to it", model.Ingress, "10.42.3.3:40000", "10.42.0.5:80", false, false},
		{"the isolated pod to the world", model.Ingress, "10.42.0.5:40000", "203.0.113.9:80", false, false},
		{"the isolated pod to the cluster's DNS", model.Ingress, "10.42.0.5:40000", "10.43.0.10:53", false, false},
		{"a stranger to the host", model.Ingress, "203.0.113.9:40000", "192.0.2.1:80", true, false},
		{"the host to a stranger", model.Egress, "192.0.2.1:40000", "203.0.113.9:80", true, true},
	} {
		p := model.Packet{Direction: c.direction, Protocol: model.TCP, Established: true,
			From: netip.MustParseAddrPort(c.from), To: netip.MustParseAddrPort(c.to)}
		for cut, want := range map[bool]bool{false: c.keep, true: c.cut} {
			wish.Ruleset.Host.Cut = cut
			if got := mayLive(wish)(p); got != want {
				t.Errorf("%s, cut %t: may live: %t, want %t", c.name, cut, got, want)
			}
		}
	}
}
