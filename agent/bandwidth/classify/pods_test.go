//go:build namespace

package classify

import (
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/plan"
	"github.com/kedge-io/kedge/tests/nethost"
)

func both(class ...uint16) map[string][]uint16 {
	return map[string][]uint16{"pod1 pod egress": class, "pod1 pod ingress": class}
}

func TestPacketsOfAPodHaveTheClassOfTheirContainer(t *testing.T) {
	inBothWays(t, func(t *testing.T, s *site) {
		start(t, s.outside, s.none, "serve-tcp", "192.0.2.2:80")
		start(t, s.outside, s.none, "serve-udp", "192.0.2.2:81")
		for _, verb := range []string{"talk-tcp 192.0.2.2:80", "talk-udp 192.0.2.2:81", "ask-udp 192.0.2.2:81"} {
			for folder, class := range map[string]uint16{s.app: app, s.sideApp: aux, s.none: pod1} {
				s.forget()
				run(t, s.one, folder, verb)
				s.want(verb, both(class))
			}
		}
	})
}

func TestServersInAPodHaveTheClassOfTheirContainer(t *testing.T) {
	s := newSite(t, abilities(t))
	start(t, s.one, s.app, "serve-tcp", ":80")
	start(t, s.one, s.sideApp, "serve-udp", ":81")
	heard := start(t, s.one, s.sideApp, "sink-udp", ":82")
	for verb, class := range map[string]uint16{"talk-tcp 10.42.1.2:80": app, "talk-udp 10.42.1.2:81": aux} {
		s.forget()
		run(t, s.outside, s.none, verb)
		s.want(verb, both(class))
	}
	s.forget()
	run(t, s.outside, s.none, "tell-udp", "10.42.1.2:82")
	if !heard.Scan() {
		t.Fatal(heard.Err())
	}
	s.want("a socket that only receives", map[string][]uint16{"pod1 pod ingress": {aux}})
}

func TestSocketsRememberTheirCgroupWhereTheKernelDoesNotShowIt(t *testing.T) {
	a := abilities(t)
	a.layout = layout{}
	s := newSite(t, a)
	start(t, s.one, s.app, "serve-tcp", ":80")
	start(t, s.one, s.sideApp, "serve-udp", ":81")
	for verb, class := range map[string]uint16{"talk-tcp 10.42.1.2:80": app, "talk-udp 10.42.1.2:81": aux} {
		s.forget()
		run(t, s.outside, s.none, verb)
		s.want(verb+" for the first time", map[string][]uint16{"pod1 pod egress": {class}, "pod1 pod ingress": {class, pod1}})
		s.forget()
		run(t, s.outside, s.none, verb)
		s.want(verb, both(class))
	}
	start(t, s.Host, s.host, "serve-tcp", ":82")
	run(t, s.outside, s.none, "talk-tcp", "192.0.2.1:82")
	s.forget()
	run(t, s.outside, s.none, "talk-tcp", "192.0.2.1:82")
	s.want("a container in the host's network", atUplink(hostApp))
}

func TestACgroupWithinThatOfAContainerIsTheContainers(t *testing.T) {
	inBothWays(t, func(t *testing.T, s *site) {
		start(t, s.outside, s.none, "serve-tcp", "192.0.2.2:80")
		s.groups.make("app/init")
		inner, id := s.groups.make("app/init/scope")
		s.forget()
		run(t, s.one, inner, "talk-tcp", "192.0.2.2:80")
		s.want("a process below a container's cgroup", both(app))
		// The more specific one counts, and live.
		s.uplink.Containers = append(s.uplink.Containers, plan.ContainerEntry{Cgroup: id, Pod: 1, Target: same(aux, 0)})
		s.update()
		s.forget()
		run(t, s.one, inner, "talk-tcp", "192.0.2.2:80")
		s.want("a container within a container", both(aux))
	})
}

func TestAContainerCountsOnlyAtItsOwnPod(t *testing.T) {
	inBothWays(t, func(t *testing.T, s *site) {
		start(t, s.outside, s.none, "serve-tcp", "192.0.2.2:80")
		s.forget()
		for _, folder := range []string{s.app, s.host} {
			run(t, s.two, folder, "talk-tcp", "192.0.2.2:80", 7)
		}
		s.want("a process of the second pod in somebody's cgroup", map[string][]uint16{"pod2 pod egress": {pod2}, "pod2 pod ingress": {pod2}})
	})
}

func TestTrafficThatStaysHasItsOwnClassOrPasses(t *testing.T) {
	s := newSite(t, abilities(t))
	start(t, s.two, s.none, "serve-tcp", ":80")
	s.forget()
	run(t, s.one, s.app, "talk-tcp", "10.42.2.2:80")
	s.want("a container with a class for it", both(appLocal))
	s.forget()
	run(t, s.one, s.none, "talk-tcp", "10.42.2.2:80")
	s.want("a pod with a class for it", both(pod1Local))
	s.forget()
	run(t, s.one, s.sideApp, "talk-tcp", "10.42.2.2:80")
	s.want("one without", nil)
}

func TestPortsStandInWhereNobodyTellsCgroups(t *testing.T) {
	s := newSite(t, Abilities{})
	start(t, s.one, s.app, "serve-tcp", ":80")
	start(t, s.one, s.app, "serve-udp", ":80")
	s.uplink.Ports = []plan.PortEntry{
		{Pod: 1, Port: model.Port{Protocol: 6, Number: 80}, Target: same(app, 0)},
		{Pod: 2, Port: model.Port{Protocol: 17, Number: 80}, Target: same(aux, 0)},
	}
	s.update()
	s.forget()
	run(t, s.outside, s.none, "talk-tcp", "10.42.1.2:80")
	s.want("a declared port", both(app))
	s.forget()
	run(t, s.outside, s.none, "talk-udp", "10.42.1.2:80")
	s.want("a port of another pod and protocol", both(pod1))
}

// Whoever gets into the folder of another pod's container stays in its own class.
func TestAContainerCountsAtItsOwnPodOnly(t *testing.T) {
	inBothWays(t, func(t *testing.T, s *site) {
		start(t, s.outside, s.none, "serve-tcp", "192.0.2.2:80")
		s.uplink.Containers = append(s.uplink.Containers, plan.ContainerEntry{Cgroup: 1 << 40, Pod: 2, Target: same(aux, 0)})
		s.update() // else nobody looks for containers of the second pod
		s.forget()
		run(t, s.two, s.app, "talk-tcp", "192.0.2.2:80")
		s.want("a container of another pod", map[string][]uint16{"pod2 pod egress": {pod2}, "pod2 pod ingress": {pod2}})
	})
}

func TestAPodThatIsNotShapedPasses(t *testing.T) {
	s := newSite(t, abilities(t))
	start(t, s.outside, s.none, "serve-tcp", "192.0.2.2:80")
	s.uplink.Pods, s.uplink.Containers = s.uplink.Pods[1:], nil
	s.update()
	s.forget()
	run(t, s.one, s.app, "talk-tcp", "192.0.2.2:80")
	s.want("no entry", nil)
}

func TestPodsUseAFurtherUplinkOnlyIfRoutesLeadThere(t *testing.T) {
	s := newSite(t, abilities(t))
	nethostUp1(s)
	start(t, s.outside, s.none, "serve-tcp", ":80")
	s.uplink.Only = false
	s.uplink.Index = s.index("up1")
	s.update()
	s.forget()
	run(t, s.one, s.app, "talk-tcp", "192.0.2.2:80")
	s.want("the other uplink", nil)
	run(t, s.one, s.app, "talk-tcp", "203.0.113.2:80")
	s.want("this uplink", both(app))
}

func TestWhatAServiceHereAnswersStays(t *testing.T) {
	s := newSite(t, abilities(t))
	s.uplink.Services = []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")}
	s.update()
	s.Run(`nft 'add table ip t; add chain ip t c { type nat hook prerouting priority -100; }
		add rule ip t c ip daddr 10.43.0.5 dnat to 10.42.2.2; add rule ip t c ip daddr 10.43.0.6 dnat to 192.0.2.2'`)
	start(t, s.two, s.none, "serve-tcp", ":80")
	start(t, s.two, s.none, "serve-udp", ":81")
	start(t, s.outside, s.none, "serve-tcp", "192.0.2.2:80")
	start(t, s.outside, s.none, "serve-udp", "192.0.2.2:81")
	for _, verb := range []string{"talk-tcp 10.43.0.5:80", "talk-udp 10.43.0.5:81"} {
		s.forget()
		run(t, s.one, s.app, verb)
		// The first packet comes to the backend before anybody knows.
		s.want(verb, map[string][]uint16{"pod1 pod egress": {app, appLocal}, "pod1 pod ingress": {appLocal}})
		if n := recorded(t, s.records["pod1 pod egress"])[app]; n != 1 {
			t.Errorf("%s: %d packets of the uplink", verb, n)
		}
	}
	for _, verb := range []string{"talk-tcp 10.43.0.6:80", "talk-udp 10.43.0.6:81"} {
		s.forget()
		run(t, s.one, s.app, verb)
		s.want(verb+" elsewhere", both(app))
	}
}

func TestAFlowToAServiceHereIsNoneToAnother(t *testing.T) {
	s := newSite(t, abilities(t))
	s.uplink.Services = []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")}
	s.update()
	s.Run(`nft 'add table ip t; add chain ip t c { type nat hook prerouting priority -100; }
		add rule ip t c ip daddr 10.43.0.5 dnat to 10.42.2.2; add rule ip t c ip daddr 10.43.0.6 dnat to 192.0.2.2'`)
	start(t, s.two, s.none, "serve-udp", ":81")
	start(t, s.outside, s.none, "serve-udp", "192.0.2.2:81")
	s.forget()
	run(t, s.one, s.app, "ask-udp", "10.43.0.5:81", "40000")
	s.forget()
	run(t, s.one, s.app, "ask-udp", "10.43.0.6:81", "40000") // from the same port
	s.want("another service", both(app))
	s.forget()
	run(t, s.one, s.app, "ask-udp", "192.0.2.2:81", "40000")
	s.want("no service", both(app))
}

// A port of the host may be that of a service with a backend elsewhere, and what
// a pod sends there leaves over the uplink.
func TestAPortOfTheHostThatLeadsElsewhereIsTheUplinks(t *testing.T) {
	s := newSite(t, abilities(t))
	s.uplink.Services = []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")}
	s.uplink.Local = append(s.uplink.Local, netip.MustParsePrefix("10.43.0.1/32"))
	s.update()
	s.Run(`ip addr add 10.43.0.1/32 dev lo
		nft 'add table ip t; add chain ip t c { type nat hook prerouting priority -100; }
		add rule ip t c ip daddr 192.0.2.1 tcp dport 30080 dnat to 192.0.2.2:80; add rule ip t c ip daddr 192.0.2.1 udp dport 30081 dnat to 192.0.2.2:81
		add rule ip t c ip daddr 10.43.0.1 tcp dport 8443 dnat to 192.0.2.2:80; add rule ip t c ip daddr 10.43.0.1 tcp dport 443 redirect to :7443'`)
	start(t, s.outside, s.none, "serve-tcp", "192.0.2.2:80")
	start(t, s.outside, s.none, "serve-udp", "192.0.2.2:81")
	start(t, s.Host, s.none, "serve-tcp", ":82")
	start(t, s.Host, s.none, "serve-udp", "192.0.2.1:83")
	start(t, s.Host, s.none, "serve-tcp", ":7443")
	for verb, class := range map[string]uint16{
		"talk-tcp 192.0.2.1:30080": app, "talk-udp 192.0.2.1:30081": app, "talk-tcp 10.43.0.1:8443": app,
		"talk-tcp 192.0.2.1:82": appLocal, "talk-udp 192.0.2.1:83": appLocal, "talk-tcp 10.43.0.1:443": appLocal,
	} {
		s.forget()
		run(t, s.one, s.app, verb)
		s.want(verb, both(class))
	}
}

// One port of a pod, used with two ports of a service, does not make the second
// local, and neither do tags of the pod's own.
func TestAPodCannotMakeAServiceElsewhereLocal(t *testing.T) {
	s := newSite(t, abilities(t))
	s.uplink.Services = []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")}
	s.update()
	s.Run(`nft 'add table ip t; add chain ip t c { type nat hook prerouting priority -100; }
		add rule ip t c ip daddr 10.43.0.5 udp dport 81 dnat to 10.42.2.2; add rule ip t c ip daddr 10.43.0.5 udp dport 82 dnat to 192.0.2.2:81'`)
	start(t, s.two, s.none, "serve-udp", ":81")
	start(t, s.outside, s.none, "serve-udp", "192.0.2.2:81")
	run(t, s.one, s.app, "ask-udp", "10.43.0.5:81", "40000")
	for range 2 {
		s.forget()
		run(t, s.one, s.app, "ask-udp", "10.43.0.5:81", "40000")
		s.want("the port that leads to a pod here, which no other takes away", map[string][]uint16{"pod1 pod egress": {appLocal}, "pod1 pod ingress": {appLocal}})
		s.forget()
		run(t, s.one, s.app, "ask-udp", "10.43.0.5:82", "40000")
		s.want("the other port", both(app))
	}
	forge(t, s.one, "eth0")
	run(t, s.one, s.app, "ask-udp", "10.43.0.5:82", "40001")
	run(t, s.one, s.app, "ask-udp", "10.42.2.2:81", "40001")
	s.forget()
	run(t, s.one, s.app, "ask-udp", "10.43.0.5:82", "40001")
	s.want("with a forged tag", both(app))
}

// forge gives our tag to all that leaves over a link.
func forge(t *testing.T, h *nethost.Host, link string) {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: license, Instructions: asm.Instructions{
		asm.Mov.Imm(asm.R2, tag), asm.StoreMem(asm.R1, skbTagged, asm.R2, asm.Word), asm.Mov.Imm(asm.R0, -1), asm.Return(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	h.Do(func() {
		l, err := netlink.LinkByName(link)
		if err == nil {
			err = netlink.QdiscAdd(&netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: l.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}})
		}
		if err == nil {
			err = netlink.FilterAdd(&netlink.BpfFilter{
				FilterAttrs: netlink.FilterAttrs{LinkIndex: l.Attrs().Index, Parent: netlink.HANDLE_MIN_EGRESS, Handle: 1, Protocol: 3, Priority: 1},
				Fd:          p.FD(), Name: "forge", DirectAction: true,
			})
		}
		if err != nil {
			t.Error(err)
		}
	})
}
