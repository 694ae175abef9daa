package shape

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/agent/bandwidth/plan"
	"github.com/kedge-io/kedge/internal/bitrate"
)

const (
	create  = unix.NLM_F_CREATE
	replace = unix.NLM_F_CREATE | unix.NLM_F_REPLACE

	rootParent    = 0xffffffff // TC_H_ROOT
	clsactParent  = 0xfffffff1 // TC_H_CLSACT
	clsactHandle  = 0xffff0000
	ingressParent = 0xfffffff2 // TC_H_CLSACT, TC_H_MIN_INGRESS
	egressParent  = 0xfffffff3

	// directQueue is for packets while the tree is being made, when even the
	// host's class is missing.
	directQueue = 1000
	htbVersion  = 3
	// ethernet tells the kernel to compute times from rates, without the tables
	// of linux before 3.8 (TC_LINKLAYER_ETHERNET).
	ethernet = 1
)

func handle(minor uint16) uint32 { return uint32(plan.Major)<<16 | uint32(minor) }

func tcMessage(kind, flags uint16, device int, handle, parent, info uint32, what string) message {
	tc := nl.TcMsg{Family: unix.AF_UNSPEC, Ifindex: int32(device), Handle: handle, Parent: parent, Info: info}
	return message{kind: kind, flags: flags, device: device, what: what, body: append([]byte(nil), tc.Serialize()...)}
}

// options closes a message with the kind and the options of what it makes.
func (m message) options(kind string, options []byte) message {
	m.body = attrText(m.body, nl.TCA_KIND, kind)
	if options != nil {
		m.body = attr(m.body, nl.TCA_OPTIONS|unix.NLA_F_NESTED, options)
	}
	return m
}

// addTree makes the root of an IFB device, in the place of the one that each
// device begins with or of a stranger's.
func addTree(d link) message {
	glob := u32s(htbVersion, 10, uint32(plan.MinorHost), 0, 0)
	options := attr(nil, nl.TCA_HTB_INIT, glob)
	options = attrU32(options, nl.TCA_HTB_DIRECT_QLEN, directQueue)
	m := tcMessage(unix.RTM_NEWQDISC, replace, d.index, handle(0), rootParent, 0, "the tree of "+d.name)
	return m.options("htb", options)
}

func removeTree(d link) message {
	return tcMessage(unix.RTM_DELQDISC, 0, d.index, 0, rootParent, 0, "the tree of "+d.name)
}

// setClass makes or changes a class; a change leaves its packets alone.
func setClass(d link, c Class) message {
	if c.Quantum == 0 {
		// Of an inner class nobody asks; without one the kernel computes it from
		// the rate and warns if it does not like what comes out.
		c.Quantum = ethernetMTU
	}
	var b []byte
	b = append(b, rateSpec(c.Rate)...)
	b = append(b, rateSpec(c.Ceil)...)
	b = append(b, u32s(ticks(c.Burst, c.Rate), ticks(c.Cburst, c.Ceil), c.Quantum, 0, uint32(c.Priority))...)
	options := attr(nil, nl.TCA_HTB_PARMS, b)
	options = rate64(options, nl.TCA_HTB_RATE64, c.Rate)
	options = rate64(options, nl.TCA_HTB_CEIL64, c.Ceil)
	parent := handle(c.Parent)
	if c.Parent == 0 {
		parent = handle(0)
	}
	return tcMessage(unix.RTM_NEWTCLASS, create, d.index, handle(c.Minor), parent, 0, className(d, c.Minor)).options("htb", options)
}

func removeClass(d link, minor uint16) message {
	return tcMessage(unix.RTM_DELTCLASS, 0, d.index, handle(minor), 0, 0, className(d, minor))
}

func className(d link, minor uint16) string {
	return fmt.Sprintf("class %x:%x of %s", plan.Major, minor, d.name)
}

// rateSpec is struct tc_ratespec; the full rate is in an attribute if it does
// not fit.
func rateSpec(r bitrate.Rate) []byte {
	b := []byte{0, ethernet, 0, 0, 0, 0, 0, 0}
	return binary.NativeEndian.AppendUint32(b, uint32(min(uint64(r/bits), math.MaxUint32)))
}

func rate64(b []byte, kind uint16, r bitrate.Rate) []byte {
	if r/bits <= math.MaxUint32 {
		return b
	}
	return attrU64(b, kind, uint64(r/bits))
}

// leafHandle is the handle of the queue of a class: its minor, and that plus one
// for the queue inside of a TBF. Minors of leaves are multiples of 16, or 7.
func leafHandle(minor uint16) uint32 { return uint32(minor) << 16 }

// segmentRate makes TBF do nothing but cut: at 10^15 bytes per second any packet
// takes less than the nanosecond that it counts in, so it never waits.
const segmentRate = 1_000_000_000_000_000

// setLeaf makes or changes the queue of a class; a change of numbers leaves its
// packets alone.
func setLeaf(d link, c Class) []message {
	name := "queue of " + className(d, c.Minor)
	own, inner := leafHandle(c.Minor), leafHandle(c.Minor+1)
	if !c.Leaf.Segmented {
		return []message{queue(d, c.Leaf, own, handle(c.Minor), name)}
	}
	m := tcMessage(unix.RTM_NEWQDISC, replace, d.index, own, handle(c.Minor), 0, name).options("tbf", segmenter(c.Leaf))
	if c.Leaf.Kind == "bfifo" { // TBF makes one of its limit by itself
		return []message{m}
	}
	return []message{m, queue(d, c.Leaf, inner, own|1, name)}
}

func removeLeaf(d link, minor uint16) message {
	return tcMessage(unix.RTM_DELQDISC, 0, d.index, 0, handle(minor), 0, "queue of "+className(d, minor))
}

// segmenter are options of a TBF. Its burst is the longest packet that it lets
// pass in one piece, which the kernel does not tell; so the field of the peak
// rate's burst, without a peak rate a mere number, keeps it for us to read.
func segmenter(l *Leaf) []byte {
	b := append([]byte{0, ethernet, 0, 0, 0, 0, 0, 0}, u32s(math.MaxUint32)...)
	b = append(b, make([]byte, nl.SizeofTcRateSpec)...)
	b = append(b, u32s(l.Limit, 1, l.Largest)...)
	options := attr(nil, nl.TCA_TBF_PARMS, b)
	options = attrU64(options, nl.TCA_TBF_RATE64, segmentRate)
	return attrU32(options, nl.TCA_TBF_BURST, l.Largest)
}

func queue(d link, l *Leaf, own, parent uint32, name string) message {
	m := tcMessage(unix.RTM_NEWQDISC, replace, d.index, own, parent, 0, name)
	if l.Kind == "fq_codel" {
		return m.options(l.Kind, fqCodel(l))
	}
	return m.options(l.Kind, u32s(l.Limit))
}

// fqCodel bounds the memory of an fq_codel: its own limit of packets (10240) is
// that of a fast line. A packet takes at least truesizeShare times its length.
const truesizeShare = 3

func fqCodel(l *Leaf) []byte {
	options := attrU32(nil, nl.TCA_FQ_CODEL_MEMORY_LIMIT, truesizeShare*l.Limit)
	return attrU32(options, nl.TCA_FQ_CODEL_ECN, 1)
}
