package plan

import (
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
)

// String is the stable text of a plan, one thing a line. What a line means
// comes after " # ", for people only: the kernel does not keep it.
func (p Plan) String() string {
	var b strings.Builder
	for _, u := range p.Uplinks {
		u.write(&b)
	}
	return b.String()
}

func (u Uplink) write(b *strings.Builder) {
	fmt.Fprintf(b, "uplink %s index %d", quoted(u.Device), u.Index)
	if u.Only {
		b.WriteString(" only")
	}
	b.WriteByte('\n')
	for _, d := range model.Directions {
		u.Trees[d].write(b, d)
	}
	for _, e := range u.Pods {
		fmt.Fprintf(b, "pod %d link %d netns %d addr %s %s # %s\n", e.Pod, e.Link, e.NetnsID, addr(e.Addr), e.Target, e.UID)
	}
	for _, e := range u.Containers {
		fmt.Fprintf(b, "cgroup %d pod %d %s\n", e.Cgroup, e.Pod, e.Target)
	}
	for _, e := range u.Ports {
		fmt.Fprintf(b, "port %s pod %d %s\n", PortName(e.Port), e.Pod, e.Target)
	}
	for _, port := range u.Reserve.Ports {
		fmt.Fprintf(b, "reserve port %s\n", PortName(port))
	}
	for _, cgroup := range u.Reserve.Cgroups {
		fmt.Fprintf(b, "reserve cgroup %d\n", cgroup)
	}
	for _, prefix := range u.Local {
		fmt.Fprintf(b, "local %s\n", prefix)
	}
	for _, prefix := range u.Services {
		fmt.Fprintf(b, "services %s\n", prefix)
	}
}

func (t Tree) write(b *strings.Builder, d model.Direction) {
	fmt.Fprintf(b, "tree %s %s", t.Device, d)
	if t.Open {
		b.WriteString(" open")
	}
	b.WriteByte('\n')
	depth := map[uint16]int{}
	for _, c := range t.Classes {
		depth[c.Minor] = depth[c.Parent] + 1
		fmt.Fprintf(b, "%s%s # %s\n", strings.Repeat("  ", depth[c.Minor]), c, c.Owner)
	}
}

// String is what the kernel keeps of a class, without its owner.
func (c Class) String() string {
	s := fmt.Sprintf("class %s parent %s rate %s ceil %s prio %d quantum %d burst %d cburst %d",
		Handle(c.Minor), Handle(c.Parent), c.Rate, c.Ceil, c.Priority, c.Quantum, c.Burst, c.Cburst)
	if c.Queue > 0 {
		s += fmt.Sprintf(" queue %d", c.Queue)
	}
	return s
}

// String names the leaves by direction: "out 6b65:20 in -, local out - in -".
func (t Target) String() string {
	return fmt.Sprintf("out %s in %s local out %s in %s", leaf(t.Class[model.Egress]), leaf(t.Class[model.Ingress]),
		leaf(t.Local[model.Egress]), leaf(t.Local[model.Ingress]))
}

// Handle writes a class as tc does: "6b65:20", "6b65:" for the queueing
// discipline.
func Handle(minor uint16) string {
	if minor == 0 {
		return fmt.Sprintf("%x:", Major)
	}
	return fmt.Sprintf("%x:%x", Major, minor)
}

func leaf(minor uint16) string {
	if minor == 0 {
		return "-"
	}
	return Handle(minor)
}

// PortName writes a port as flags have it: "tcp/179".
func PortName(p model.Port) string {
	switch p.Protocol {
	case unix.IPPROTO_TCP:
		return fmt.Sprintf("tcp/%d", p.Number)
	case unix.IPPROTO_UDP:
		return fmt.Sprintf("udp/%d", p.Number)
	}
	return fmt.Sprintf("%d/%d", p.Protocol, p.Number)
}

func addr(a netip.Addr) string {
	if !a.IsValid() {
		return "-"
	}
	return a.String()
}

// quoted keeps the fields of a line apart where there is no device.
func quoted(device string) string {
	if device == "" {
		return "-"
	}
	return device
}
