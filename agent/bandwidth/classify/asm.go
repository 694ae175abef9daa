package classify

import (
	"strconv"

	"github.com/cilium/ebpf/asm"
)

// Registers with one meaning in all programs. R6 to R9 survive calls.
const (
	regContext = asm.R6 // struct __sk_buff
	regEntry   = asm.R7 // linkValue of the pod, or settings
	regSocket  = asm.R8 // the receiver, or the priority of the sender
	regTarget  = asm.R9
)

// Offsets of what programs keep on the stack, in bytes below R10.
const (
	stackKey    = -8  // of a lookup
	stackProto  = -12 // of the ports; 0 while there are none
	stackFamily = -16 // version of IP; 0 for what is not understood
	stackTuple  = -56 // struct bpf_sock_tuple, 36 bytes
	stackHeader = -96 // an IP header without options, 40 bytes
	stackRoute  = -160
)

// Offsets in struct __sk_buff and struct bpf_sock (linux/bpf.h).
const (
	skbProtocol  = 16
	skbPriority  = 32
	skbIfindex   = 40
	skbSocket    = 168
	sockPriority = 20
	sockState    = 72
)

// code is a program in the making.
type code struct {
	asm.Instructions
	next   string // label of the next instruction
	labels int
}

// add appends instructions; a label that waits is the first one's.
func (c *code) add(ins ...asm.Instruction) {
	if c.next != "" {
		ins[0] = ins[0].WithSymbol(c.next)
		c.next = ""
	}
	c.Instructions = append(c.Instructions, ins...)
}

// label names the next instruction.
func (c *code) label(name string) {
	if c.next != "" {
		c.add(asm.Mov.Reg(regContext, regContext)) // two names for one place
	}
	c.next = name
}

// unique returns a label that is not yet used.
func (c *code) unique(name string) string {
	c.labels++
	return name + "-" + strconv.Itoa(c.labels)
}

func (c *code) jump(to string) { c.add(asm.Ja.Label(to)) }

// begin keeps the context and names all maps: whoever has one of the programs
// finds the whole set.
func (c *code) begin(a Abilities) {
	c.add(asm.Mov.Reg(regContext, asm.R1))
	for _, name := range mapNames(a) {
		c.add(asm.LoadMapPtr(asm.R1, 0).WithReference(name))
	}
}

// end is where all programs end: "mark" with a minor in regTarget, "pass".
func (c *code) end() {
	c.label("mark")
	c.add(
		asm.Or.Imm(regTarget, int32(major)<<16),
		asm.StoreMem(regContext, skbPriority, regTarget, asm.Word),
		asm.Mov.Imm(asm.R0, -1),
		asm.Return(),
	)
	c.label("pass")
	c.add(asm.Mov.Imm(asm.R0, 0), asm.Return())
}

// zero clears bytes of the stack, which the verifier wants before it lets
// anybody read them. size is a multiple of eight.
func (c *code) zero(from, size int16) {
	c.add(asm.Mov.Imm(asm.R0, 0))
	for at := from; at < from+size; at += 8 {
		c.add(asm.StoreMem(asm.R10, at, asm.R0, asm.DWord))
	}
}

// lookup leaves the entry for the key at stackKey in R0.
func (c *code) lookup(table string) {
	c.add(
		asm.LoadMapPtr(asm.R1, 0).WithReference(table),
		asm.Mov.Reg(asm.R2, asm.R10),
		asm.Add.Imm(asm.R2, stackKey),
		asm.FnMapLookupElem.Call(),
	)
}

// readSettings leaves the settings in R0.
func (c *code) readSettings() {
	c.add(asm.StoreImm(asm.R10, stackKey, 0, asm.Word))
	c.lookup(mapSettings)
	c.add(asm.JEq.Imm(asm.R0, 0, "pass"))
}
