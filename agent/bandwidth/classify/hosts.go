package classify

import (
	"encoding/binary"

	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
)

const protocolUDP = unix.IPPROTO_UDP

var nativeLittle = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// Offsets in settings and the lengths of their parts.
const (
	settingsIndex   = 4
	settingsHost    = 8
	settingsControl = 16
	settingsNames   = 24
)

// Priorities of sockets (socket(7), SO_PRIORITY) that mean something at the
// uplink. Above 6 they need CAP_NET_ADMIN or CAP_NET_RAW, which is why known
// containers are looked for first.
const (
	priorityControl = 7 // TC_PRIO_CONTROL
	// priorityRelay is the link's relay lane: packets of pods, which have
	// passed the tree at their pod's link.
	priorityRelay = 8
)

// hostProgram classifies at the uplink what programs in the host's network send
// and receive. What has no socket here is forwarded for a pod and has been or
// will be classified at the pod's link. For the rest, in this order:
//
//  1. a container without a network of its own, by cgroup or declared port;
//  2. a cgroup of the reserve: control;
//  3. the socket's priority: control, or the relay lane, which passes by;
//  4. a port of the reserve: control; DNS, NTP or DHCP: names, since pods can
//     have the cluster's DNS ask for them, and must not fill control's queue;
//  5. else the class of the host.
func hostProgram(dir model.Direction, a Abilities) asm.Instructions {
	c, s := &code{}, sides[dir]
	c.begin(a)
	c.readSettings()
	c.add(asm.Mov.Reg(regEntry, asm.R0))
	if dir == model.Egress {
		c.hostSender(a)
	} else {
		c.hostReceiver(s, a)
	}
	c.byKnownCgroup(dir)
	c.label("ports")
	c.add(asm.LoadMem(asm.R1, regEntry, 0, asm.Word), asm.And.Imm(asm.R1, hostPorts), asm.JEq.Imm(asm.R1, 0, "priority"))
	c.add(asm.Mov.Imm(asm.R1, 0))
	c.byPort(s, "priority")
	c.add(asm.LoadMem(regTarget, asm.R0, int16(4*dir), asm.Word), asm.Ja.Label("aim"))
	c.label("priority")
	c.add(asm.JEq.Imm(regSocket, priorityRelay, "pass"), asm.JEq.Imm(regSocket, priorityControl, "control"))
	c.reserved(s.remotePort, reserveRemote)
	c.reserved(s.localPort, reserveLocal)
	c.label("host")
	c.add(asm.LoadMem(regTarget, regEntry, settingsHost+int16(4*dir), asm.Word), asm.Ja.Label("aim"))
	c.label("names")
	c.add(asm.LoadMem(regTarget, regEntry, settingsNames+int16(4*dir), asm.Word), asm.Ja.Label("aim"))
	c.label("control")
	c.add(asm.LoadMem(regTarget, regEntry, settingsControl+int16(4*dir), asm.Word))
	c.label("aim")
	c.add(asm.And.Imm(regTarget, 0xffff), asm.JEq.Imm(regTarget, 0, "pass"))
	c.end()
	return c.Instructions
}

// hostSender leaves the priority of the sender's socket in regSocket and the
// entry of its cgroup in R0. SYN-ACKs have that of the listener.
func (c *code) hostSender(a Abilities) {
	c.add(asm.LoadMem(asm.R1, regContext, skbSocket, asm.DWord), asm.JEq.Imm(asm.R1, 0, "pass"))
	c.parse("parsed", true)
	c.add(asm.Mov.Imm(asm.R0, 0))
	if a.Senders {
		c.walkSender(a)
	}
	c.add(asm.Mov.Reg(regTarget, asm.R0), asm.Mov.Imm(regSocket, 0))
	c.fullSender("sender")
	c.add(asm.LoadMem(regSocket, asm.R0, sockPriority, asm.Word))
	c.label("sender")
	c.add(asm.Mov.Reg(asm.R0, regTarget))
}

// hostReceiver does the same for the receiver's socket. Without one the packet
// passes by; one that is not understood is the host's.
func (c *code) hostReceiver(s side, a Abilities) {
	c.parse("pass", true)
	c.add(asm.LoadMem(asm.R1, asm.R10, stackFamily, asm.Word), asm.JEq.Imm(asm.R1, 0, "host"), asm.JNE.Imm(asm.R1, 4, "foreign"))
	c.inLocal(s.localAddr)
	c.add(
		asm.JEq.Imm(asm.R0, 0, "foreign"),
		asm.LoadMem(asm.R0, asm.R0, 0, asm.Word),
		asm.JEq.Imm(asm.R0, ofPods, "pass"),
	)
	c.label("foreign")
	c.add(asm.LoadMem(asm.R1, asm.R10, stackProto, asm.Word), asm.JEq.Imm(asm.R1, 0, "host"))
	c.add(asm.Mov.Imm(regTarget, -1)) // BPF_F_CURRENT_NETNS
	c.receiver("pass", true)
	c.unlessAnswer()
	c.walkReceiver(a)
	c.add(
		asm.Mov.Reg(regTarget, asm.R0),
		asm.Mov.Reg(asm.R1, regSocket),
		asm.LoadMem(regSocket, asm.R1, sockPriority, asm.Word),
		asm.FnSkRelease.Call(),
		asm.Mov.Reg(asm.R0, regTarget),
	)
}

// unlessAnswer passes what is found to be for a listener in regSocket but asks
// for no connection: the answer to a pod that left with the host's address and,
// of its own choice, a port that a listener of the host has.
func (c *code) unlessAnswer() {
	const (
		listen    = 10 // BPF_TCP_LISTEN
		flags     = 13 // offset in a TCP header
		syn, both = 0x02, 0x12
	)
	c.add(
		asm.LoadMem(asm.R1, regSocket, sockState, asm.Word),
		asm.JNE.Imm(asm.R1, listen, "receives"),
		asm.Mov.Imm(regTarget, ip6Size),
		asm.LoadMem(asm.R1, asm.R10, stackFamily, asm.Word),
		asm.JEq.Imm(asm.R1, 6, "flags"),
		asm.LoadMem(regTarget, asm.R10, stackHeader, asm.Byte),
		asm.And.Imm(regTarget, 15),
		asm.LSh.Imm(regTarget, 2),
	)
	c.label("flags")
	c.add(asm.Add.Imm(regTarget, flags))
	c.load(regTarget, stackKey, 1, "answer")
	c.add(
		asm.LoadMem(asm.R1, asm.R10, stackKey, asm.Byte),
		asm.And.Imm(asm.R1, both),
		asm.JEq.Imm(asm.R1, syn, "receives"),
	)
	c.label("answer")
	c.release()
	c.jump("pass")
	c.label("receives")
}

// byKnownCgroup decides by the entry in R0 or falls through. A container that
// belongs to a pod with a link of its own does not count here.
func (c *code) byKnownCgroup(dir model.Direction) {
	c.add(
		asm.JEq.Imm(asm.R0, 0, "ports"),
		asm.LoadMem(asm.R1, asm.R0, cgroupKind, asm.Word),
		asm.JEq.Imm(asm.R1, ofReserve, "control"),
		asm.LoadMem(asm.R1, asm.R0, atPod, asm.Word),
		asm.JNE.Imm(asm.R1, 0, "ports"),
		asm.LoadMem(regTarget, asm.R0, cgroupAims+int16(4*dir), asm.Word),
		asm.Ja.Label("aim"),
	)
}

// reserved goes to control or names if the port at this place of the tuple is a
// reserved one for this end, and to host if there are no ports.
func (c *code) reserved(at int16, end int32) {
	no := c.unique("free")
	c.portNumber(at, "host")
	c.add(asm.StoreMem(asm.R10, stackKey, asm.R1, asm.Word))
	c.lookup(mapReserve)
	c.add(
		asm.JEq.Imm(asm.R0, 0, no),
		asm.LoadMem(asm.R2, asm.R0, 0, asm.Word),
		asm.Mov.Reg(asm.R1, asm.R2),
		asm.And.Imm(asm.R1, end),
		asm.JEq.Imm(asm.R1, 0, no),
		asm.And.Imm(asm.R2, reserveNames),
		asm.JNE.Imm(asm.R2, 0, "names"),
		asm.Ja.Label("control"),
	)
	c.label(no)
}
