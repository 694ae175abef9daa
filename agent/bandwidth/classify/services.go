package classify

import (
	"time"

	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
)

// What a pod sends to the address of a service is seen before the kernel puts a
// backend's address there, and what it receives after it was put back. So the
// tables note which service a pod's port asks, and the packet takes a tag along
// (skb->tc_index, which nothing else in the kernel's IP layer touches). At the
// link of a backend here they learn by it that this port reaches that service
// without an uplink.
//
// A pod may send whatever it likes and gain nothing by it: a port asks one
// service at a time, so that no tagged packet can speak for another one, and
// tags that a pod sets itself are taken away.

const (
	skbTagged = 44 // tc_index in struct __sk_buff
	tag       = 0x6b65
	apiPort   = 443 // of the service "kubernetes"
	// freshFor is for how long a flow counts that no packet confirms. No packet
	// waits as long in a queue.
	freshFor = 5 * time.Second
	// Offsets in the value of a flow: when a packet came to a backend here, when
	// the pod sent one, and to which service.
	flowSeen, flowAsked, flowAddr, flowPort = 0, 8, 16, 20
	flowSize                                = 24
	// stackSaved keeps a register behind an IPv4 header.
	stackSaved = stackHeader + 24
)

// stays goes to local if the other end is reached without an uplink.
func (c *code) stays(s side, local string) {
	uplink := c.unique("uplink")
	if s.dir == model.Egress {
		c.add(asm.Mov.Imm(asm.R1, 0), asm.StoreMem(regContext, skbTagged, asm.R1, asm.Word))
	}
	c.add(asm.LoadMem(asm.R1, asm.R10, stackFamily, asm.Word), asm.JNE.Imm(asm.R1, 4, uplink))
	c.inLocal(s.remoteAddr)
	c.add(
		asm.JEq.Imm(asm.R0, 0, uplink),
		asm.LoadMem(asm.R1, asm.R0, 0, asm.Word),
		asm.JEq.Imm(asm.R1, ofHost, "own"),
		asm.JEq.Imm(asm.R1, ofServices, "service"),
	)
	if s.dir == model.Egress { // no socket has the port of the API: a rule changes it
		other := c.unique("other")
		c.add(asm.JNE.Imm(asm.R1, ofOwnServices, other))
		c.portNumber(s.remotePort, "own")
		c.add(asm.JEq.Imm(asm.R1, int32(portNumber(unix.IPPROTO_TCP, apiPort)), local), asm.Ja.Label("own"))
		c.label(other)
	} else {
		c.add(asm.JEq.Imm(asm.R1, ofOwnServices, "own"))
	}
	if s.dir == model.Ingress {
		c.learn(s)
	}
	c.jump(local)
	c.label("own")
	c.ofHost(s, local, uplink)
	c.label("service")
	c.served(s, uplink)
	c.jump(local)
	c.label(uplink)
}

// ofHost is about an address of the host, which is one of services as well: a
// port of it may lead to a backend elsewhere. It goes to local if a process of
// the host is at the other end, and falls through if that is not known.
func (c *code) ofHost(s side, local, uplink string) {
	c.add(
		asm.LoadMem(asm.R1, asm.R10, stackProto, asm.Word), asm.JNE.Imm(asm.R1, 0, "process"),
		// Only what has ports is redirected, of which fragments do not show them.
		asm.LoadMem(asm.R1, asm.R10, stackHeader+ip4Protocol, asm.Byte),
		asm.JEq.Imm(asm.R1, unix.IPPROTO_TCP, uplink), asm.JEq.Imm(asm.R1, unix.IPPROTO_UDP, uplink), asm.JEq.Imm(asm.R1, unix.IPPROTO_SCTP, uplink),
		asm.Ja.Label(local),
	)
	c.label("process")
	if s.dir == model.Ingress { // what was not forwarded has its sender's socket
		c.add(asm.LoadMem(asm.R1, regContext, skbSocket, asm.DWord), asm.JNE.Imm(asm.R1, 0, local))
		return
	}
	c.add(asm.StoreMem(asm.R10, stackSaved, regTarget, asm.DWord), asm.Mov.Imm(regTarget, -1)) // BPF_F_CURRENT_NETNS
	c.receiver("nobody", false)
	c.release()
	c.add(asm.LoadMem(regTarget, asm.R10, stackSaved, asm.DWord), asm.Ja.Label(local))
	c.label("nobody")
	c.add(asm.LoadMem(regTarget, asm.R10, stackSaved, asm.DWord))
}

// flow leaves that of an end of the tuple in R0, which may be 0, and the time at
// stackRoute, or goes to none.
func (c *code) flow(addr, port int16, none string) {
	c.portNumber(port, none)
	c.add(
		asm.StoreMem(asm.R10, stackKey+4, asm.R1, asm.Word),
		asm.LoadMem(asm.R1, asm.R10, stackTuple+addr, asm.Word),
		asm.StoreMem(asm.R10, stackKey, asm.R1, asm.Word),
		asm.FnKtimeGetNs.Call(),
		asm.StoreMem(asm.R10, stackRoute, asm.R0, asm.DWord),
	)
	c.lookup(mapFlows)
}

// age leaves in R2 how long ago the time at this offset of the flow in R0 was,
// below zero if another processor was just faster, and freshFor in R1.
func (c *code) age(at int16) {
	c.add(
		asm.LoadMem(asm.R2, asm.R10, stackRoute, asm.DWord),
		asm.LoadMem(asm.R1, asm.R0, at, asm.DWord),
		asm.Sub.Reg(asm.R2, asm.R1),
		asm.LoadImm(asm.R1, freshFor.Nanoseconds(), asm.DWord),
	)
}

// served goes to uplink unless the service at the other end has lately been
// reached here. On the way out it notes who asks, and tags the packet.
func (c *code) served(s side, uplink string) {
	other, ask := c.unique("other"), c.unique("ask")
	c.portNumber(s.remotePort, uplink)
	c.add(asm.Mov.Reg(regSocket, asm.R1))
	c.flow(s.localAddr, s.localPort, uplink)
	c.add(
		asm.JEq.Imm(asm.R0, 0, ask),
		asm.LoadMem(asm.R1, asm.R0, flowPort, asm.Word), asm.JNE.Reg(asm.R1, regSocket, other),
		asm.LoadMem(asm.R1, asm.R0, flowAddr, asm.Word), asm.LoadMem(asm.R2, asm.R10, stackTuple+s.remoteAddr, asm.Word),
		asm.JNE.Reg(asm.R1, asm.R2, other),
	)
	if s.dir == model.Egress {
		c.add(asm.LoadMem(asm.R1, asm.R10, stackRoute, asm.DWord), asm.StoreMem(asm.R0, flowAsked, asm.R1, asm.DWord))
		c.tag()
	}
	c.age(flowSeen)
	served := c.unique("served")
	c.add(asm.JSGT.Reg(asm.R2, asm.R1, uplink), asm.Ja.Label(served))
	c.label(other)
	if s.dir == model.Egress {
		c.age(flowAsked)
		c.add(asm.JSLE.Reg(asm.R2, asm.R1, uplink))
	}
	c.label(ask)
	if s.dir == model.Egress {
		c.ask(s)
	}
	c.jump(uplink)
	c.label(served)
}

func (c *code) tag() {
	c.add(asm.Mov.Imm(asm.R1, tag), asm.StoreMem(regContext, skbTagged, asm.R1, asm.Word))
}

// ask notes that the port at stackKey asks the service at the other end, whose
// port is in regSocket.
func (c *code) ask(s side) {
	c.add(
		asm.LoadMem(asm.R1, asm.R10, stackRoute, asm.DWord), asm.StoreMem(asm.R10, stackRoute+flowAsked, asm.R1, asm.DWord),
		asm.StoreImm(asm.R10, stackRoute+flowSeen, 0, asm.DWord),
		asm.LoadMem(asm.R1, asm.R10, stackTuple+s.remoteAddr, asm.Word), asm.StoreMem(asm.R10, stackRoute+flowAddr, asm.R1, asm.Word),
		asm.StoreMem(asm.R10, stackRoute+flowPort, regSocket, asm.Word),
		asm.LoadMapPtr(asm.R1, 0).WithReference(mapFlows),
		asm.Mov.Reg(asm.R2, asm.R10), asm.Add.Imm(asm.R2, stackKey),
		asm.Mov.Reg(asm.R3, asm.R10), asm.Add.Imm(asm.R3, stackRoute),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnMapUpdateElem.Call(),
	)
	c.tag()
}

// learn writes down that the pod at the other end has reached somebody here
// through the service that it asks. R0 to R5 are lost.
func (c *code) learn(s side) {
	known := c.unique("known")
	c.add(asm.LoadMem(asm.R1, regContext, skbTagged, asm.Word), asm.JNE.Imm(asm.R1, tag, known))
	c.flow(s.remoteAddr, s.remotePort, known)
	c.add(
		asm.JEq.Imm(asm.R0, 0, known),
		asm.LoadMem(asm.R1, asm.R10, stackRoute, asm.DWord), asm.StoreMem(asm.R0, flowSeen, asm.R1, asm.DWord),
	)
	c.label(known)
}
