//go:build namespace

package classify

import (
	"slices"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/plan"
	"github.com/kedge-io/kedge/tests/nethost"
)

func nethostUp1(s *site) {
	nethost.Cable(s.Host, "up1", s.outside, "eth1")
	s.Run("ip addr add 203.0.113.1/24 dev up1")
	s.outside.Run("ip addr add 203.0.113.2/24 dev eth1")
}

func atUplink(class ...uint16) map[string][]uint16 {
	return map[string][]uint16{"up0 host egress": class, "up0 host ingress": class}
}

func TestHostProcessesAreClassifiedAtTheUplink(t *testing.T) {
	inBothWays(t, func(t *testing.T, s *site) {
		for _, port := range []string{"80", "53", "179"} {
			start(t, s.outside, s.none, "serve-tcp", "192.0.2.2:"+port)
			start(t, s.outside, s.none, "serve-udp", "192.0.2.2:"+port)
		}
		start(t, s.outside, s.none, "serve-tcp", "[2001:db8::2]:80")
		start(t, s.outside, s.none, "serve-udp", "[2001:db8::2]:53")
		bird, id := s.groups.make("bird")
		s.uplink.Reserve = plan.ReserveEntry{Ports: []model.Port{{Protocol: 6, Number: 179}}, Cgroups: []uint64{id}}
		s.update()
		for _, c := range []struct {
			what, folder, verb string
			priority           int
			want               []uint16
		}{
			{"a process", s.none, "talk-tcp 192.0.2.2:80", 0, []uint16{plan.MinorHost}},
			{"a process", s.none, "talk-udp 192.0.2.2:80", 0, []uint16{plan.MinorHost}},
			{"an unconnected socket", s.none, "ask-udp 192.0.2.2:80", 0, []uint16{plan.MinorHost}},
			{"IPv6", s.none, "talk-tcp [2001:db8::2]:80", 0, []uint16{plan.MinorHost}},
			{"DNS", s.none, "talk-udp 192.0.2.2:53", 0, []uint16{plan.MinorNames}},
			{"DNS over TCP", s.none, "talk-tcp 192.0.2.2:53", 0, []uint16{plan.MinorNames}},
			{"DNS over IPv6", s.none, "talk-udp [2001:db8::2]:53", 0, []uint16{plan.MinorNames}},
			{"a port of the reserve", s.none, "talk-tcp 192.0.2.2:179", 0, []uint16{plan.MinorControl}},
			{"the same port of another protocol", s.none, "talk-udp 192.0.2.2:179", 0, []uint16{plan.MinorHost}},
			{"a cgroup of the reserve", bird, "talk-tcp 192.0.2.2:80", 0, []uint16{plan.MinorControl}},
			{"the control lane", s.none, "talk-tcp 192.0.2.2:80", 7, []uint16{plan.MinorControl}},
			{"the relay lane", s.none, "talk-tcp 192.0.2.2:80", 8, nil},
			{"another lane", s.none, "talk-tcp 192.0.2.2:80", 6, []uint16{plan.MinorHost}},
			{"a container in the host's network", s.host, "talk-tcp 192.0.2.2:80", 0, []uint16{hostApp}},
			{"one that wants to be control", s.host, "talk-tcp 192.0.2.2:80", 7, []uint16{hostApp}},
			{"one that wants to pass", s.host, "talk-tcp [2001:db8::2]:80", 8, []uint16{hostApp}},
			{"one that asks for names", s.host, "talk-udp 192.0.2.2:53", 0, []uint16{hostApp}},
			{"one of a pod with a link", s.app, "talk-tcp 192.0.2.2:80", 0, []uint16{plan.MinorHost}},
		} {
			s.forget()
			run(t, s.Host, c.folder, c.verb, c.priority)
			s.want(c.what+": "+c.verb, atUplink(c.want...))
		}
	})
}

func TestServersOnTheHostAreClassifiedAtTheUplink(t *testing.T) {
	s := newSite(t, abilities(t))
	start(t, s.Host, s.none, "serve-tcp", ":80")
	start(t, s.Host, s.none, "serve-tcp", ":81", 7)
	start(t, s.Host, s.host, "serve-tcp", ":82", 7)
	start(t, s.Host, s.none, "serve-udp", ":83")
	start(t, s.Host, s.none, "serve-tcp", ":179")
	start(t, s.Host, s.none, "serve-tcp", ":53")
	s.uplink.Reserve.Ports = []model.Port{{Protocol: 6, Number: 179}}
	s.update()
	for verb, class := range map[string][]uint16{
		"talk-tcp 192.0.2.1:80": {plan.MinorHost}, "talk-tcp [2001:db8::1]:80": {plan.MinorHost},
		// Between the handshake and accept the connection has no priority.
		"talk-tcp 192.0.2.1:81": {plan.MinorControl, plan.MinorHost},
		"talk-tcp 192.0.2.1:82": {hostApp}, "talk-udp 192.0.2.1:83": {plan.MinorHost}, "talk-tcp 192.0.2.1:179": {plan.MinorControl},
		// Reserved is asking for names, not answering.
		"talk-tcp 192.0.2.1:53": {plan.MinorHost},
	} {
		s.forget()
		run(t, s.outside, s.none, verb)
		for name, m := range s.records {
			for got := range recorded(t, m) {
				if !slices.Contains(atUplink(class...)[name], got) {
					t.Errorf("%s: class %x at %s, want of %x", verb, got, name, class)
				}
			}
			if recorded(t, m)[class[0]] == 0 && atUplink(class...)[name] != nil {
				t.Errorf("%s: no packet of class %x at %s", verb, class[0], name)
			}
		}
	}
}

func TestForwardedPacketsPassAtTheUplink(t *testing.T) {
	s := newSite(t, abilities(t))
	start(t, s.outside, s.none, "serve-tcp", "192.0.2.2:80")
	start(t, s.one, s.none, "serve-udp", ":81")
	s.forget()
	run(t, s.one, s.none, "talk-tcp", "192.0.2.2:80")
	run(t, s.outside, s.none, "talk-udp", "10.42.1.2:81")
	s.want("a pod", both(pod1))
	// Answers to what leaves with the host's address.
	s.Run("nft 'add table ip t; add chain ip t c { type nat hook postrouting priority 100; }; add rule ip t c ip saddr 10.42.0.0/16 oifname up0 masquerade'")
	s.forget()
	run(t, s.one, s.none, "talk-tcp", "192.0.2.2:80")
	s.want("a pod with the host's address", both(pod1))
}

// A pod chooses the port that its packets have outside. It must not be able to
// choose who pays for the answers, least of all control.
func TestAnswersToAPodAreNotForAListenerOfItsPort(t *testing.T) {
	inBothWays(t, func(t *testing.T, s *site) {
		start(t, s.outside, s.none, "serve-tcp", "192.0.2.2:53")
		start(t, s.Host, s.none, "serve-tcp", ":7000")
		s.Run("nft 'add table ip t; add chain ip t c { type nat hook postrouting priority 100; }; add rule ip t c ip saddr 10.42.0.0/16 oifname up0 masquerade'")
		s.forget()
		run(t, s.one, s.none, "from-tcp", "192.0.2.2:53", "7000")
		s.want("a pod with a listener's port", both(pod1))
		s.forget()
		run(t, s.outside, s.none, "talk-tcp", "192.0.2.1:7000")
		s.want("who asks for a connection", atUplink(plan.MinorHost))
	})
}

func TestDeclaredPortsOfTheHostsNetwork(t *testing.T) {
	s := newSite(t, Abilities{})
	start(t, s.Host, s.host, "serve-tcp", ":80", 7)
	s.uplink.Ports = []plan.PortEntry{{Port: model.Port{Protocol: 6, Number: 80}, Target: same(hostApp, 0)}}
	s.update()
	s.forget()
	run(t, s.outside, s.none, "talk-tcp", "192.0.2.1:80")
	s.want("a declared port", atUplink(hostApp))
}

func TestHostProcessesPassWhereTheUplinksRateIsUnknown(t *testing.T) {
	s := newSite(t, abilities(t))
	start(t, s.outside, s.none, "serve-tcp", "192.0.2.2:80")
	for d := range s.uplink.Trees {
		s.uplink.Trees[d].Open = true
	}
	s.update()
	s.forget()
	run(t, s.Host, s.none, "talk-tcp", "192.0.2.2:80", 7)
	s.want("a process", nil)
	run(t, s.Host, s.host, "talk-tcp", "192.0.2.2:80")
	s.want("a container with a limit", atUplink(hostApp))
}

func TestAnUplinkWithoutEthernetIsReadAlike(t *testing.T) {
	s := newSite(t, abilities(t))
	s.Run("ip tuntap add tun0 mode tun; ip link set tun0 up; ip addr add 203.0.113.1/24 dev tun0")
	s.attach("tun0", netlink.HANDLE_MIN_EGRESS, HostEgress)
	s.forget()
	for addr, class := range map[string]uint16{"203.0.113.2:53": plan.MinorNames, "203.0.113.2:54": plan.MinorHost} {
		run(t, s.Host, s.none, "tell-udp", addr)
		s.want(addr, map[string][]uint16{"tun0 host egress": {class}})
		s.forget()
	}
}
