package classify

import "github.com/cilium/ebpf/asm"

// Offsets in struct bpf_fib_lookup (linux/bpf.h) and its size.
const (
	fibIfindex = 8
	fibSource  = 16
	fibTarget  = 32
	fibSize    = 64
	familyIP4  = 2
)

// routed goes to pass if settings say that the routes are to be asked and they
// lead elsewhere. What comes from a remote address is thought to have come by
// the way that leads there. What this cannot tell is left to the first uplink.
func (c *code) routed(s side) {
	c.readSettings()
	c.add(
		asm.Mov.Reg(regSocket, asm.R0),
		asm.LoadMem(asm.R1, asm.R0, 0, asm.Word),
		asm.And.Imm(asm.R1, askRoutes),
		asm.JEq.Imm(asm.R1, 0, "mark"),
		asm.LoadMem(asm.R1, asm.R10, stackFamily, asm.Word),
		asm.JNE.Imm(asm.R1, 4, "pass"),
	)
	c.zero(stackRoute, fibSize)
	c.add(
		asm.StoreImm(asm.R10, stackRoute, familyIP4, asm.Byte),
		asm.LoadMem(asm.R1, regContext, skbIfindex, asm.Word),
		asm.StoreMem(asm.R10, stackRoute+fibIfindex, asm.R1, asm.Word),
		asm.LoadMem(asm.R1, asm.R10, stackTuple+s.localAddr, asm.Word),
		asm.StoreMem(asm.R10, stackRoute+fibSource, asm.R1, asm.Word),
		asm.LoadMem(asm.R1, asm.R10, stackTuple+s.remoteAddr, asm.Word),
		asm.StoreMem(asm.R10, stackRoute+fibTarget, asm.R1, asm.Word),
		asm.Mov.Reg(asm.R1, regContext),
		asm.Mov.Reg(asm.R2, asm.R10),
		asm.Add.Imm(asm.R2, stackRoute),
		asm.Mov.Imm(asm.R3, fibSize),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnFibLookup.Call(),
		// A neighbour that is not resolved yet is no obstacle: the device is there.
		asm.LoadMem(asm.R1, asm.R10, stackRoute+fibIfindex, asm.Word),
		asm.LoadMem(asm.R2, regSocket, settingsIndex, asm.Word),
		asm.JNE.Reg(asm.R1, asm.R2, "pass"),
	)
}
