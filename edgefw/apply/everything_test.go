package apply_test

import (
	"net/netip"
	"strings"

	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
)

// everything has each kind of rule once.
func everything() apply.Wish {
	return apply.Wish{
		Facts: facts(),
		Local: plan.Local{
			Pods:  map[string][]netip.Addr{"pod-1": {netip.MustParseAddr("10.42.0.5")}},
			Names: map[string][]netip.Addr{"time.example.org": {netip.MustParseAddr("198.51.100.9"), netip.MustParseAddr("2001:db8:9::9")}},
		},
		Ruleset: &model.Ruleset{
			Host: model.HostRules{
				Ingress: model.Chain{Rules: ingress(), Default: model.Deny, DefaultFrom: "office"},
				Egress:  model.Chain{Rules: egress(), Default: model.Reject, DefaultFrom: "office"},
			},
			Pods: policies(),
			Sets: map[model.SetID]model.Set{
				"set/friends":        {Prefixes: prefixes("192.0.2.0/24", "2001:db8::/64")},
				"known":              {Prefixes: prefixes("192.0.2.7")},
				"cluster":            {Prefixes: prefixes("10.42.0.0/16", "10.43.0.0/16")},
				"dns/time":           {Name: "time.example.org"},
				"pods/isolated":      {Pods: []string{"pod-1"}},
				"pods/web":           {Pods: []string{"pod-1", "pod-2"}},
				"peers/of-the-web":   {Prefixes: prefixes("10.42.1.0/24")},
				"peers/of-nobody":    {},
				"set/not-in-any-way": {Prefixes: prefixes("203.0.113.0/24")},
			},
		},
	}
}

func facts() model.Facts {
	return model.Facts{
		Servers:     []netip.AddrPort{netip.MustParseAddrPort("203.0.113.1:6443"), netip.MustParseAddrPort("[2001:db8:5::1]:6443")},
		Door:        6443,
		Resolvers:   []netip.Addr{netip.MustParseAddr("9.9.9.9")},
		TimeServers: []netip.Addr{netip.MustParseAddr("198.51.100.123")},
		Failsafe:    []model.Failsafe{{From: netip.MustParsePrefix("192.0.2.128/25"), Port: 22}, {From: netip.MustParsePrefix("::/0"), Port: 22}},
		PodRange:    netip.MustParsePrefix("10.42.0.0/24"),
		PodLink:     "kedge0", RelayLink: "kedge-tun",
		Services:   netip.MustParsePrefix("10.43.0.0/16"),
		ClusterDNS: netip.MustParseAddr("10.43.0.10"),
		API:        netip.MustParseAddr("10.43.0.1"), APIPorts: []uint16{443, 6444},
	}
}

func ingress() []model.HostRule {
	friends := []model.SetID{"set/friends"}
	var many []model.PortRange
	for port := uint16(1000); port < 1020; port++ {
		many = append(many, model.Port(port))
	}
	return []model.HostRule{
		{ID: "a/ingress/log", Action: model.Log, Protocol: model.TCP, Ports: []model.PortRange{model.Port(22)}, Anybody: true},
		{ID: "a/ingress/ssh", Action: model.Allow, Protocol: model.TCP, Ports: []model.PortRange{model.Port(22)}, Peers: friends,
			Rate: &model.RateLimit{Count: 7, Seconds: 60, Burst: 3, Per: model.PerSource}, Log: true},
		{ID: "a/ingress/web", Action: model.Allow, Protocol: model.TCP, Ports: []model.PortRange{model.Port(80), {First: 8000, Last: 8010}}, Anybody: true,
			Connections: &model.ConnectionLimit{Max: 5, Per: model.PerSource}},
		{ID: "a/ingress/all", Action: model.Allow, Protocol: model.UDP, Ports: many, Peers: append(friends, "cluster"),
			Rate: &model.RateLimit{Count: 100, Seconds: 1, Burst: 100, Per: model.PerRule}},
		{ID: "a/ingress/dns", Action: model.Reject, Ports: []model.PortRange{model.Port(53)}, Anybody: true},
		{ID: "a/ingress/ping", Action: model.Allow, Protocol: model.ICMP, Anybody: true},
		{ID: "a/ingress/nobody", Action: model.Allow, Protocol: model.TCP},
		{ID: "a/ingress/" + strings.Repeat("long", 60), Action: model.Allow, Peers: []model.SetID{"peers/of-nobody"}},
	}
}

func egress() []model.HostRule {
	return []model.HostRule{
		{ID: "a/egress/time", Action: model.Allow, Protocol: model.UDP, Ports: []model.PortRange{model.Port(123)}, Peers: []model.SetID{"dns/time"}},
		{ID: "a/egress/cluster", Action: model.Allow, Peers: []model.SetID{"cluster", "set/unheard-of"}},
		{ID: "a/egress/mail", Action: model.Deny, Protocol: model.TCP, Ports: []model.PortRange{model.Port(25)}, Anybody: true, Log: true},
	}
}

func policies() model.PodRules {
	return model.PodRules{
		Known: []string{"pod-1", "pod-2"}, Guarded: []string{"shop"},
		IsolatedIngress: "pods/isolated", IsolatedEgress: "pods/isolated",
		Ingress: []model.PodRule{{ID: "shop/web/ingress/1", Pods: "pods/web", Peers: []model.SetID{"peers/of-the-web"}, Protocol: model.TCP, Ports: []model.PortRange{model.Port(80)}}},
		Egress:  []model.PodRule{{ID: "shop/web/egress/1", Pods: "pods/web", Anybody: true, Protocol: model.SCTP, Ports: []model.PortRange{model.Port(7)}}},
	}
}

func prefixes(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range list {
		if !strings.Contains(text, "/") {
			a := netip.MustParseAddr(text)
			all = append(all, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}
