package classify

import (
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/plan"
)

const major = plan.Major

// Offsets in linkValue and cgroupValue.
const (
	atPod       = 0
	linkFlags   = 4
	linkTargets = 8
	linkNetnsID = 16
	cgroupKind  = 4
	cgroupAims  = 8
)

// side is where a direction's packets have what belongs to the node, in bytes
// from the beginning of a tuple.
type side struct {
	dir model.Direction
	// Ports for IPv4; for IPv6 they are at the same place behind tuple6Ports.
	localPort, remotePort int16
	localAddr, remoteAddr int16
}

var sides = [2]side{
	model.Egress:  {dir: model.Egress, remotePort: 2, remoteAddr: 4},
	model.Ingress: {dir: model.Ingress, localPort: 2, localAddr: 4},
}

// podProgram classifies at a pod's link:
//
//  1. by the cgroup of the socket, if that is one of a container of this pod;
//  2. by the pod's port, if a container declares it;
//  3. else as the rest of the pod.
//
// Then the other end's address tells which of the target's two classes it is.
func podProgram(dir model.Direction, a Abilities) asm.Instructions {
	c, s := &code{}, sides[dir]
	c.begin(a)
	c.add(asm.LoadMem(asm.R1, regContext, skbIfindex, asm.Word), asm.StoreMem(asm.R10, stackKey, asm.R1, asm.Word))
	c.lookup(mapLinks)
	c.add(asm.JEq.Imm(asm.R0, 0, "pass"), asm.Mov.Reg(regEntry, asm.R0))
	// Neighbours are no traffic of the uplink.
	c.add(asm.LoadMem(asm.R1, regContext, skbProtocol, asm.Word), asm.JEq.Imm(asm.R1, big(unix.ETH_P_ARP), "pass"))
	c.parse("parsed", false)
	switch {
	case dir == model.Egress && a.Senders:
		c.ifLink(sendersKnown, "ports")
		c.walkSender(a)
		c.ofThisPod(dir, "ports")
	case dir == model.Ingress && a.Receivers:
		c.podReceiver(dir, a)
	}
	c.label("ports")
	c.ifLink(portsKnown, "rest")
	c.add(asm.LoadMem(asm.R1, regEntry, atPod, asm.Word))
	c.byPort(s, "rest")
	c.add(asm.LoadMem(regTarget, asm.R0, int16(4*dir), asm.Word), asm.Ja.Label("aim"))
	c.label("rest")
	c.add(asm.LoadMem(regTarget, regEntry, linkTargets+int16(4*dir), asm.Word))
	c.label("aim")
	c.stays(s, "local")
	c.add(asm.And.Imm(regTarget, 0xffff))
	c.add(asm.JEq.Imm(regTarget, 0, "pass"))
	if a.Routes {
		c.routed(s)
	}
	c.jump("mark")
	c.label("local")
	c.add(asm.RSh.Imm(regTarget, localShift), asm.JEq.Imm(regTarget, 0, "pass"))
	c.end()
	return c.Instructions
}

// ifLink goes to otherwise unless the pod's entry has the flag.
func (c *code) ifLink(flag int32, otherwise string) {
	c.add(asm.LoadMem(asm.R1, regEntry, linkFlags, asm.Word), asm.And.Imm(asm.R1, flag), asm.JEq.Imm(asm.R1, 0, otherwise))
}

// ofThisPod takes the target of the cgroup's entry in R0 if it is one of the pod.
func (c *code) ofThisPod(dir model.Direction, otherwise string) {
	c.add(
		asm.JEq.Imm(asm.R0, 0, otherwise),
		asm.LoadMem(asm.R1, asm.R0, atPod, asm.Word),
		asm.LoadMem(asm.R2, regEntry, atPod, asm.Word),
		asm.JNE.Reg(asm.R1, asm.R2, otherwise),
		asm.LoadMem(regTarget, asm.R0, cgroupAims+int16(4*dir), asm.Word),
		asm.Ja.Label("aim"),
	)
}

// podReceiver is by the receiver's cgroup. Pods have IPv4 only.
func (c *code) podReceiver(dir model.Direction, a Abilities) {
	c.ifLink(receiversKnown, "ports")
	c.add(
		asm.LoadMem(asm.R1, asm.R10, stackFamily, asm.Word),
		asm.JNE.Imm(asm.R1, 4, "ports"),
		asm.LoadMem(regTarget, regEntry, linkNetnsID, asm.Word),
	)
	c.receiver("ports", false)
	c.walkReceiver(a)
	c.add(asm.Mov.Reg(regTarget, asm.R0))
	c.release()
	c.add(asm.Mov.Reg(asm.R0, regTarget))
	c.ofThisPod(dir, "ports")
}

// byPort leaves in R0 the entry for the local port of the pod whose number is
// in R1, or goes to none.
func (c *code) byPort(s side, none string) {
	c.add(asm.StoreMem(asm.R10, stackKey, asm.R1, asm.Word))
	c.portNumber(s.localPort, none)
	c.add(asm.StoreMem(asm.R10, stackKey+4, asm.R1, asm.Word))
	c.lookup(mapPorts)
	c.add(asm.JEq.Imm(asm.R0, 0, none))
}

// portNumber leaves protocol and port in R1 as the function portNumber does.
func (c *code) portNumber(at int16, none string) {
	six, have := c.unique("six"), c.unique("port")
	c.add(
		asm.LoadMem(asm.R2, asm.R10, stackProto, asm.Word),
		asm.JEq.Imm(asm.R2, 0, none),
		asm.LoadMem(asm.R1, asm.R10, stackFamily, asm.Word),
		asm.JEq.Imm(asm.R1, 6, six),
		asm.LoadMem(asm.R1, asm.R10, stackTuple+tuple4Ports+at, asm.Half),
		asm.Ja.Label(have),
	)
	c.label(six)
	c.add(asm.LoadMem(asm.R1, asm.R10, stackTuple+tuple6Ports+at, asm.Half))
	c.label(have)
	c.add(asm.HostTo(asm.BE, asm.R1, asm.Half), asm.LSh.Imm(asm.R2, 16), asm.Or.Reg(asm.R1, asm.R2))
}

// inLocal leaves in R0 whether an IPv4 address of the tuple is a local one.
func (c *code) inLocal(at int16) {
	c.add(
		asm.StoreImm(asm.R10, stackKey, 32, asm.Word),
		asm.LoadMem(asm.R1, asm.R10, stackTuple+at, asm.Word),
		asm.StoreMem(asm.R10, stackKey+4, asm.R1, asm.Word),
	)
	c.lookup(mapLocal)
}
