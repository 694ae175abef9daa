package classify

import (
	"math/bits"

	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// Sizes and offsets of headers in bytes (RFC 791, RFC 8200).
const (
	ip4Size, ip6Size         = 20, 40
	ip4Fragment, ip4Protocol = 6, 9
	ip4Source, ip6Source     = 12, 8
	ip6Next                  = 6
	// Offsets of ports and addresses in struct bpf_sock_tuple.
	tuple4Ports, tuple6Ports = 8, 32
	tuple4Size, tuple6Size   = 12, 36
	fragmentOffset           = 0x1fff
	neighbourFirst           = 133 // router solicitation, RFC 4861
	neighbourLast            = 137 // redirect
	pullSize                 = 256 // enough for all headers that are read
	headerStartNet           = 1   // BPF_HDR_START_NET
)

// big is a 16-bit number as it is in the packet.
func big(n uint16) int32 {
	if nativeLittle {
		n = bits.ReverseBytes16(n)
	}
	return int32(n)
}

// load copies size bytes of the packet, from the register at (which must not be
// R1) on behind the link's header, to the stack. It works for devices with and
// without such a header. What is not there leads to fail.
func (c *code) load(at asm.Register, to, size int16, fail string) {
	have := c.unique("have")
	read := func() {
		c.add(
			asm.Mov.Reg(asm.R1, regContext),
			asm.Mov.Reg(asm.R2, at),
			asm.Mov.Reg(asm.R3, asm.R10),
			asm.Add.Imm(asm.R3, int32(to)),
			asm.Mov.Imm(asm.R4, int32(size)),
			asm.Mov.Imm(asm.R5, headerStartNet),
			asm.FnSkbLoadBytesRelative.Call(),
		)
	}
	read()
	c.add(asm.JEq.Imm(asm.R0, 0, have))
	// The helper reads the linear part only, which headers are beyond in rare
	// drivers and after odd senders.
	c.add(asm.Mov.Reg(asm.R1, regContext), asm.Mov.Imm(asm.R2, pullSize), asm.FnSkbPullData.Call())
	read()
	c.add(asm.JNE.Imm(asm.R0, 0, fail))
	c.label(have)
}

// parse fills stackFamily, stackProto and stackTuple as far as the packet can
// be understood and goes to "parsed". regTarget and R0 to R5 are lost. What is
// no IP packet goes to other. The kernel has taken a VLAN's tag off before; what
// has two is no IP packet here.
func (c *code) parse(other string, neighbours bool) {
	c.zero(stackTuple, -stackTuple)
	c.add(
		asm.LoadMem(asm.R1, regContext, skbProtocol, asm.Word),
		asm.JEq.Imm(asm.R1, big(unix.ETH_P_IP), "ip4"),
		asm.JEq.Imm(asm.R1, big(unix.ETH_P_IPV6), "ip6"),
		asm.Ja.Label(other),
	)
	c.parseIP4()
	c.parseIP6(neighbours)
	c.label("parsed")
}

func (c *code) parseIP4() {
	c.label("ip4")
	c.add(asm.Mov.Imm(regTarget, 0))
	c.load(regTarget, stackHeader, ip4Size, "parsed")
	c.add(
		asm.LoadMem(asm.R1, asm.R10, stackHeader, asm.Byte),
		asm.Mov.Reg(regTarget, asm.R1),
		asm.RSh.Imm(asm.R1, 4),
		asm.JNE.Imm(asm.R1, 4, "parsed"),
		asm.And.Imm(regTarget, 15),
		asm.LSh.Imm(regTarget, 2),
		asm.JLT.Imm(regTarget, ip4Size, "parsed"),
		asm.StoreImm(asm.R10, stackFamily, 4, asm.Word),
	)
	for at := int16(0); at < 8; at += 4 {
		c.add(asm.LoadMem(asm.R1, asm.R10, stackHeader+ip4Source+at, asm.Word), asm.StoreMem(asm.R10, stackTuple+at, asm.R1, asm.Word))
	}
	c.add(
		// Only the first fragment has ports.
		asm.LoadMem(asm.R1, asm.R10, stackHeader+ip4Fragment, asm.Half),
		asm.And.Imm(asm.R1, big(fragmentOffset)),
		asm.JNE.Imm(asm.R1, 0, "parsed"),
		asm.LoadMem(asm.R1, asm.R10, stackHeader+ip4Protocol, asm.Byte),
		asm.JEq.Imm(asm.R1, unix.IPPROTO_TCP, "ports4"),
		asm.JNE.Imm(asm.R1, unix.IPPROTO_UDP, "parsed"),
	)
	c.label("ports4")
	c.load(regTarget, stackTuple+tuple4Ports, 4, "parsed")
	c.add(
		asm.LoadMem(asm.R1, asm.R10, stackHeader+ip4Protocol, asm.Byte),
		asm.StoreMem(asm.R10, stackProto, asm.R1, asm.Word),
		asm.Ja.Label("parsed"),
	)
}

// parseIP6 does not look behind extension headers: such packets have no ports.
// Where neighbours is set, those of neighbour discovery pass by like ARP: no
// queue may make a node lose its gateway.
func (c *code) parseIP6(neighbours bool) {
	c.label("ip6")
	c.add(asm.Mov.Imm(regTarget, 0))
	c.load(regTarget, stackHeader, ip6Size, "parsed")
	c.add(
		asm.LoadMem(asm.R1, asm.R10, stackHeader, asm.Byte),
		asm.RSh.Imm(asm.R1, 4),
		asm.JNE.Imm(asm.R1, 6, "parsed"),
		asm.StoreImm(asm.R10, stackFamily, 6, asm.Word),
	)
	for at := int16(0); at < 32; at += 8 {
		c.add(asm.LoadMem(asm.R1, asm.R10, stackHeader+ip6Source+at, asm.DWord), asm.StoreMem(asm.R10, stackTuple+at, asm.R1, asm.DWord))
	}
	c.add(
		asm.Mov.Imm(regTarget, ip6Size),
		asm.LoadMem(asm.R1, asm.R10, stackHeader+ip6Next, asm.Byte),
		asm.JEq.Imm(asm.R1, unix.IPPROTO_TCP, "ports6"),
		asm.JEq.Imm(asm.R1, unix.IPPROTO_UDP, "ports6"),
	)
	if neighbours {
		c.add(asm.JNE.Imm(asm.R1, unix.IPPROTO_ICMPV6, "parsed"))
		c.load(regTarget, stackKey, 1, "parsed")
		c.add(
			asm.LoadMem(asm.R1, asm.R10, stackKey, asm.Byte),
			asm.JLT.Imm(asm.R1, neighbourFirst, "parsed"),
			asm.JGT.Imm(asm.R1, neighbourLast, "parsed"),
			asm.Ja.Label("pass"),
		)
	} else {
		c.jump("parsed")
	}
	c.label("ports6")
	c.load(regTarget, stackTuple+tuple6Ports, 4, "parsed")
	c.add(
		asm.LoadMem(asm.R1, asm.R10, stackHeader+ip6Next, asm.Byte),
		asm.StoreMem(asm.R10, stackProto, asm.R1, asm.Word),
	)
}
