//go:build namespace

package shape

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/plan"
	"github.com/kedge-io/kedge/internal/bitrate"
)

func TestForeignThingsStay(t *testing.T) {
	n := newNode(t, 1)
	n.Run("tc qdisc add dev eth0 root handle 77: tbf rate 1gbit burst 100k limit 1m; tc qdisc add dev eth0 clsact")
	n.Run("tc filter add dev eth0 egress pref 5 u32 match u32 0 0 flowid 7:7")
	n.Run("ip link add ifb7 type ifb; tc qdisc add dev veth0 clsact")
	show := "tc qdisc show; tc filter show dev eth0 egress; ip -o link show | cut -d: -f2"
	before := n.Run(show)
	p := n.limits(bitrate.Gbit, 10*bitrate.Mbit)
	n.apply(p)
	n.wants(p)
	if !strings.Contains(n.Run("tc filter show dev eth0 egress"), "flowid 7:7") {
		t.Error("the foreign filter is gone")
	}
	n.apply(plan.Plan{})
	if after := n.Run(show); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func TestClsactGoesWithOurLastFilterUnlessOthersUseIt(t *testing.T) {
	n := newNode(t, 2)
	n.apply(n.limits(bitrate.Gbit, bitrate.Mbit, bitrate.Mbit))
	n.Run("tc filter add dev veth0 egress pref 5 u32 match u32 0 0 flowid 7:7")
	n.apply(plan.Plan{})
	if left := n.Run("tc qdisc show"); !strings.Contains(left, "clsact ffff: dev veth0") || strings.Contains(left, "dev veth1 parent ffff:fff1") {
		t.Errorf("left: %s", left)
	}
}

func TestLinksVanishUnderOurHands(t *testing.T) {
	n := newNode(t, 3)
	p := n.limits(bitrate.Gbit, bitrate.Mbit, bitrate.Mbit, bitrate.Mbit)
	n.apply(p)
	n.Run("ip link del veth1; ip link set eth0 down; ip link set eth0 name wan0")
	if r := n.apply(p); !slices.Equal(r.Gone, []int{p.Uplinks[0].Pods[1].Link}) {
		t.Errorf("gone: %v", r.Gone)
	}
	n.wants(p)
	n.Run("ip link del wan0")
	n.apply(p)
	n.wants(p)
}

// A link that goes between looking and changing is no error either.
func TestLinkVanishesDuringApply(t *testing.T) {
	n := newNode(t, 2)
	p := n.limits(bitrate.Gbit, bitrate.Mbit, bitrate.Mbit)
	n.kernel.dial = func() (*conn, error) {
		c, err := dial()
		if err == nil {
			c.dead = func(m message) bool {
				if strings.HasPrefix(m.what, "clsact") {
					_, _ = n.Try("ip link del veth1")
				}
				return false
			}
		}
		return c, err
	}
	n.apply(p)
	n.kernel.dial = dial
	n.wants(p)
}

func TestDamageIsMended(t *testing.T) {
	n := newNode(t, 2)
	p := n.limits(bitrate.Gbit, bitrate.Mbit, 100*bitrate.Mbit)
	n.apply(p)
	for _, damage := range []string{
		"ip link del kedge-out0",
		"ip link set kedge-in0 down",
		"tc qdisc del dev kedge-out0 root",
		"tc qdisc replace dev kedge-in0 root handle 1: htb",
		"tc class change dev kedge-out0 classid 6b65:20 htb rate 5mbit ceil 9mbit",
		"tc qdisc replace dev kedge-out0 parent 6b65:20 handle 99: pfifo limit 3",
		"tc qdisc del dev kedge-out0 parent 6b65:20",
		"tc qdisc del dev kedge-out0 parent 6b65:20; tc class del dev kedge-out0 classid 6b65:20",
		"tc class add dev kedge-out0 parent 6b65:1 classid 6b65:999 htb rate 1mbit",
		"tc class add dev kedge-out0 parent 6b65:20 classid 6b65:998 htb rate 1mbit",
		"tc qdisc del dev veth0 clsact",
		"tc filter del dev veth0 ingress",
		"tc filter del dev eth0 egress",
		"ip link add kedge-out7 type ifb",
		"ip link set kedge-out0 down; ip link set kedge-out0 name elsewhere; ip link set elsewhere up",
		"ip link set kedge-in0 down; ip link set kedge-in0 name elsewhere; ip link set elsewhere up; ip link add kedge-in0 type ifb",
	} {
		n.Run(damage)
		if slices.Equal(n.check(p), nil) {
			t.Errorf("%s: not noticed", damage)
		}
		n.apply(p)
		n.wants(p)
		if r := n.apply(p); r.Changes != 0 {
			t.Errorf("%s: %d changes in the second round", damage, r.Changes)
		}
	}
	if d := n.check(p); len(d) > 0 {
		t.Errorf("differences: %s", d)
	}
}

func (n *node) check(p plan.Plan) []string {
	n.t.Helper()
	var d []string
	var err error
	n.Do(func() { d, err = n.kernel.Check(p) })
	if err != nil {
		n.t.Fatal(err)
	}
	return d
}

// Filters that lead to a device that is gone drop what they match.
func TestPacketsPassWhereATreeCannotBeHad(t *testing.T) {
	n := newNode(t, 1)
	n.outside.EchoUDP(":9")
	p := n.limits(bitrate.Gbit, bitrate.Mbit)
	n.apply(p)
	n.Run("ip link del kedge-out0; ip link add kedge-out0 type bridge")
	n.Do(func() {
		_, err := n.kernel.Apply(context.Background(), p)
		if err == nil || !strings.Contains(err.Error(), "kedge-out0 is of kind bridge") {
			t.Errorf("error is %v", err)
		}
	})
	echoed(t, udp(n.pods[0], outsideAddr+":9"), 1000, 3)
	if c := n.counter(model.Ingress, podMinor(0)); c.Packets < 3 {
		t.Errorf("the other direction is not shaped: %+v", c)
	}
	n.Run("ip link del kedge-out0")
	n.apply(p)
	n.wants(p)
}

func TestPacketsPassWhereTheKernelHasLostIFB(t *testing.T) {
	n := newNode(t, 1)
	n.outside.EchoUDP(":9")
	p := n.limits(bitrate.Gbit, bitrate.Mbit)
	n.apply(p)
	n.Run("ip link del kedge-out0; ip link del kedge-in0; ip link add kedge-out-probe type bridge")
	k := newKernel(t)
	n.Do(func() {
		if _, err := k.Apply(context.Background(), p); err == nil {
			t.Error("no error")
		}
	})
	echoed(t, udp(n.pods[0], outsideAddr+":9"), 1000, 3)
}

func TestForeignIngressQdiscKeepsOnlyItsLinkFromBeingShaped(t *testing.T) {
	n := newNode(t, 1)
	n.Run("tc qdisc add dev eth0 ingress")
	p := n.limits(bitrate.Gbit, bitrate.Mbit)
	n.Do(func() {
		_, err := n.kernel.Apply(context.Background(), p)
		if err == nil || !strings.Contains(err.Error(), "link eth0 has a foreign ingress") {
			t.Errorf("error is %v", err)
		}
	})
	if have := n.observe(); !strings.Contains(have, "pod-ingress") || strings.Contains(have, "host-ingress") {
		t.Errorf("the kernel has\n%s", have)
	}
	n.Run("tc qdisc del dev eth0 ingress")
	n.apply(p)
	n.wants(p)
}
