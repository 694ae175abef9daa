package classify

import "github.com/cilium/ebpf/asm"

// deepest is the level of the deepest cgroup above which known ones are looked
// for; the root is 0. Containers are at 4, in nested nodes a few below.
const deepest = 16

// walk leaves in R0 the entry of the most specific known cgroup of a socket, or
// 0. own and ancestor are the helpers for what is in the register of.
func (c *code) walk(of asm.Register, own, ancestor asm.BuiltinFunc) {
	found, none := c.unique("found"), c.unique("none")
	look := func(missing string) {
		c.add(asm.JEq.Imm(asm.R0, 0, missing), asm.StoreMem(asm.R10, stackKey, asm.R0, asm.DWord))
		c.lookup(mapCgroups)
		c.add(asm.JNE.Imm(asm.R0, 0, found))
	}
	c.add(asm.Mov.Reg(asm.R1, of), own.Call())
	look(none)
	for level := int32(deepest); level > 0; level-- {
		c.add(asm.Mov.Reg(asm.R1, of), asm.Mov.Imm(asm.R2, level), ancestor.Call())
		next := c.unique("next")
		look(next)
		c.label(next)
	}
	c.label(none)
	c.add(asm.Mov.Imm(asm.R0, 0))
	c.label(found)
}

// walkSender leaves in R0 the entry of the sender's cgroup, or 0, and goes on.
// regSocket and regTarget are lost. If sockets must, the sender's remembers what
// was found: no helper tells the cgroup of a receiver.
func (c *code) walkSender(a Abilities) {
	done, none := c.unique("done"), c.unique("nobody")
	if a.layout.known() {
		c.fullSender(none)
		c.add(asm.Mov.Reg(regSocket, asm.R0))
		c.climb(a.layout)
		c.jump(done)
		c.label(none)
		c.add(asm.Mov.Imm(asm.R0, 0))
		c.label(done)
		return
	}
	c.walk(regContext, asm.FnSkbCgroupId, asm.FnSkbAncestorCgroupId)
	if a.remember() {
		c.add(asm.JEq.Imm(asm.R0, 0, done), asm.Mov.Reg(regTarget, asm.R0))
		c.imprint()
		c.add(asm.Mov.Reg(asm.R0, regTarget))
		c.label(done)
	}
}

// imprint makes the sender's socket remember the cgroup at stackKey.
func (c *code) imprint() {
	known := c.unique("known")
	c.fullSender(known)
	c.add(asm.Mov.Reg(asm.R2, asm.R0))
	c.memory(createStorage)
	c.add(
		asm.JEq.Imm(asm.R0, 0, known),
		asm.LoadMem(asm.R1, asm.R10, stackKey, asm.DWord),
		asm.LoadMem(asm.R2, asm.R0, 0, asm.DWord),
		asm.JEq.Reg(asm.R1, asm.R2, known),
		asm.StoreMem(asm.R0, 0, asm.R1, asm.DWord),
	)
	c.label(known)
}

// fullSender leaves in R0 the socket that sent the packet, or goes to none. For
// a SYN-ACK that is the listener.
func (c *code) fullSender(none string) {
	have := c.unique("full")
	for _, by := range []asm.BuiltinFunc{asm.FnSkFullsock, asm.FnGetListenerSock} {
		c.add(
			asm.LoadMem(asm.R1, regContext, skbSocket, asm.DWord),
			asm.JEq.Imm(asm.R1, 0, none),
			by.Call(),
			asm.JNE.Imm(asm.R0, 0, have),
		)
	}
	c.jump(none)
	c.label(have)
}

// createStorage is BPF_SK_STORAGE_GET_F_CREATE.
const createStorage = 1

// memory leaves in R0 what the socket in R2 remembers.
func (c *code) memory(flags int32) {
	c.add(
		asm.LoadMapPtr(asm.R1, 0).WithReference(mapSockets),
		asm.Mov.Imm(asm.R3, 0),
		asm.Mov.Imm(asm.R4, flags),
		asm.FnSkStorageGet.Call(),
	)
}

// walkReceiver is walk for regSocket. regTarget is lost.
func (c *code) walkReceiver(a Abilities) {
	switch {
	case !a.Receivers:
		c.add(asm.Mov.Imm(asm.R0, 0))
	case a.layout.known():
		c.climb(a.layout)
	default:
		c.recall()
	}
}

// climb reads the cgroup of regSocket and those above it from the kernel's own
// structs. What is read through bpf_rdonly_cast may be anything without harm.
func (c *code) climb(l layout) {
	found, none := c.unique("found"), c.unique("none")
	cast := func(to int32) asm.Instruction {
		call := asm.Instruction{OpCode: asm.OpCode(asm.JumpClass).SetJumpOp(asm.Call), Src: asm.PseudoKfuncCall, Constant: int64(l.cast)}
		c.add(asm.Mov.Imm(asm.R2, to))
		return call
	}
	c.add(asm.Mov.Reg(asm.R1, regSocket))
	c.add(cast(l.sock), asm.LoadMem(regTarget, asm.R0, l.group, asm.DWord))
	for level := 0; level < deepest; level++ {
		c.add(
			asm.JEq.Imm(regTarget, 0, none),
			asm.LoadMem(asm.R1, regTarget, l.folder, asm.DWord),
			asm.LoadMem(asm.R1, asm.R1, l.identity, asm.DWord),
			asm.StoreMem(asm.R10, stackKey, asm.R1, asm.DWord),
		)
		c.lookup(mapCgroups)
		c.add(asm.JNE.Imm(asm.R0, 0, found), asm.LoadMem(asm.R1, regTarget, l.parent, asm.DWord))
		c.add(cast(l.cgroup), asm.Mov.Reg(regTarget, asm.R0))
	}
	c.label(none)
	c.add(asm.Mov.Imm(asm.R0, 0))
	c.label(found)
}

// recall leaves in R0 the entry of the cgroup that regSocket remembers, or 0.
func (c *code) recall() {
	forgot := c.unique("forgot")
	c.add(asm.Mov.Reg(asm.R2, regSocket))
	c.memory(0)
	c.add(
		asm.JEq.Imm(asm.R0, 0, forgot),
		asm.LoadMem(asm.R1, asm.R0, 0, asm.DWord),
		asm.StoreMem(asm.R10, stackKey, asm.R1, asm.DWord),
	)
	c.lookup(mapCgroups)
	c.label(forgot)
}

// receiver looks for the socket that will get the packet, in the namespace
// whose id is in regTarget, and keeps it in regSocket: whoever comes behind must
// release it. Without one it goes to none, and where nobody knows the ports
// either.
func (c *code) receiver(none string, six bool) {
	c.add(
		asm.LoadMem(asm.R1, asm.R10, stackProto, asm.Word),
		asm.JEq.Imm(asm.R1, 0, none),
	)
	if six {
		c.add(asm.LoadMem(asm.R2, asm.R10, stackFamily, asm.Word), asm.JEq.Imm(asm.R2, 6, "receiver6"))
	}
	c.receiverOf(tuple4Size, "4")
	if six {
		c.jump("receiver")
		c.label("receiver6")
		c.receiverOf(tuple6Size, "6")
	}
	c.label("receiver")
	c.add(asm.JEq.Imm(asm.R0, 0, none), asm.Mov.Reg(regSocket, asm.R0))
}

// receiverOf expects the protocol in R1.
func (c *code) receiverOf(size int32, version string) {
	look := func(by asm.BuiltinFunc) {
		c.add(
			asm.Mov.Reg(asm.R1, regContext),
			asm.Mov.Reg(asm.R2, asm.R10),
			asm.Add.Imm(asm.R2, stackTuple),
			asm.Mov.Imm(asm.R3, size),
			asm.Mov.Reg(asm.R4, regTarget),
			asm.Mov.Imm(asm.R5, 0),
			by.Call(),
		)
	}
	c.add(asm.JEq.Imm(asm.R1, protocolUDP, "udp"+version))
	look(asm.FnSkLookupTcp)
	c.jump("looked" + version)
	c.label("udp" + version)
	look(asm.FnSkLookupUdp)
	c.label("looked" + version)
}

// release gives the receiver back. R0 to R5 are lost.
func (c *code) release() { c.add(asm.Mov.Reg(asm.R1, regSocket), asm.FnSkRelease.Call()) }
