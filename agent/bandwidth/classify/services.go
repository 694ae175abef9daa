package classify

import (
	"time"

	"github.com/cilium/ebpf/asm"
)

// What a pod sends to the address of a service is seen before the kernel puts a
// backend's address there, and what it receives after it was put back. So the
// packet takes a tag of the service along (skb->tc_index, which nothing else in
// the kernel's IP layer touches), and at the link of a backend here the tables
// learn that this client reaches that service without an uplink.

const (
	skbTagged = 44 // tc_index in struct __sk_buff
	// freshFor is for how long a flow counts that no packet confirms, and
	// confirmEvery how often one is written down.
	freshFor     = 5 * time.Second
	confirmEvery = time.Second
	// Offsets in the value of a flow.
	flowSeen, flowTag = 0, 8
)

// flowKey puts an end of the tuple at stackKey, or goes to none.
func (c *code) flowKey(addr, port int16, none string) {
	c.portNumber(port, none)
	c.add(
		asm.StoreMem(asm.R10, stackKey+4, asm.R1, asm.Word),
		asm.LoadMem(asm.R1, asm.R10, stackTuple+addr, asm.Word),
		asm.StoreMem(asm.R10, stackKey, asm.R1, asm.Word),
	)
}

// recent leaves the flow at stackKey in R0 if its tag is that in regSocket and
// it was seen within this time, or goes to no.
func (c *code) recent(within time.Duration, no string) {
	c.add(asm.FnKtimeGetNs.Call(), asm.StoreMem(asm.R10, stackRoute, asm.R0, asm.DWord))
	c.lookup(mapFlows)
	c.add(
		asm.JEq.Imm(asm.R0, 0, no),
		asm.LoadMem(asm.R1, asm.R0, flowTag, asm.DWord),
		asm.JNE.Reg(asm.R1, regSocket, no),
		asm.LoadMem(asm.R1, asm.R0, flowSeen, asm.DWord),
		asm.LoadMem(asm.R2, asm.R10, stackRoute, asm.DWord),
		asm.Sub.Reg(asm.R2, asm.R1),
		asm.LoadImm(asm.R1, within.Nanoseconds(), asm.DWord),
		asm.JGT.Reg(asm.R2, asm.R1, no),
	)
}

// served goes to uplink unless the service at the other end has lately been
// reached here. It tags the packet.
func (c *code) served(s side, uplink string) {
	const spread, other = 0x1e3779b1, 0x05ebca6b // odd numbers that mix bits
	c.portNumber(s.remotePort, uplink)
	c.add(
		asm.Mul.Imm32(asm.R1, other),
		asm.LoadMem(asm.R2, asm.R10, stackTuple+s.remoteAddr, asm.Word),
		asm.Xor.Reg32(asm.R1, asm.R2),
		asm.Mul.Imm32(asm.R1, spread),
		asm.RSh.Imm32(asm.R1, 16),
		asm.Or.Imm32(asm.R1, 1), // 0 is no tag
		asm.Mov.Reg(regSocket, asm.R1),
		asm.StoreMem(regContext, skbTagged, asm.R1, asm.Word),
	)
	c.flowKey(s.localAddr, s.localPort, uplink)
	c.recent(freshFor, uplink)
}

// learn writes down that the pod at the other end has reached somebody here
// through the service of the packet's tag. R0 to R5 and regSocket are lost.
func (c *code) learn(s side) {
	known, write := c.unique("known"), c.unique("write")
	c.add(asm.LoadMem(regSocket, regContext, skbTagged, asm.Word), asm.JEq.Imm(regSocket, 0, known))
	c.flowKey(s.remoteAddr, s.remotePort, known)
	c.recent(confirmEvery, write)
	c.jump(known)
	c.label(write)
	c.add(
		asm.StoreMem(asm.R10, stackRoute+flowTag, regSocket, asm.DWord),
		asm.LoadMapPtr(asm.R1, 0).WithReference(mapFlows),
		asm.Mov.Reg(asm.R2, asm.R10),
		asm.Add.Imm(asm.R2, stackKey),
		asm.Mov.Reg(asm.R3, asm.R10),
		asm.Add.Imm(asm.R3, stackRoute),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnMapUpdateElem.Call(),
	)
	c.label(known)
}
