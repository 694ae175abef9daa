package shape

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// module is a part of the kernel that may be missing.
type module struct{ name, option, modprobe string }

var (
	moduleIFB    = module{"IFB devices", "CONFIG_IFB", "ifb numifbs=0"}
	moduleHTB    = module{"HTB", "CONFIG_NET_SCH_HTB", "sch_htb"}
	moduleTBF    = module{"TBF", "CONFIG_NET_SCH_TBF", "sch_tbf"}
	moduleClsact = module{"clsact", "CONFIG_NET_SCH_INGRESS", "sch_ingress"}
	moduleBPF    = module{"BPF filters", "CONFIG_NET_CLS_BPF and CONFIG_NET_CLS_ACT", "cls_bpf"}
	moduleMirred = module{"redirecting", "CONFIG_NET_ACT_MIRRED", "act_mirred"}
)

// Missing is the error for something that this kernel does not have: nothing can
// be shaped, and all else of the node works.
type Missing struct {
	// What it is, the Option of the kernel's configuration, and the module that
	// has it: "modprobe MODULE".
	What, Option, Module string
	Err                  error
}

func (m *Missing) Error() string {
	return fmt.Sprintf("the kernel has no %s (%s): run \"modprobe %s\", or use a kernel that is built with it: %v", m.What, m.Option, m.Module, m.Err)
}

// Unwrap is the kernel's answer.
func (m *Missing) Unwrap() error { return m.Err }

// withRemedy makes a Missing of the answers that say so.
func withRemedy(err error, m module) error {
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOENT) {
		return &Missing{What: m.name, Option: m.option, Module: m.modprobe, Err: err}
	}
	return err
}

// Abilities are what this kernel offers for leaves.
type Abilities struct {
	// Queue is "fq_codel" or "bfifo".
	Queue string
	// Segment tells that packets that were joined inside of the host can be cut.
	// Where not, a pod with a low ceiling delays and loses more.
	Segment bool
	// Reasons says in words what is missing and what would help.
	Reasons []string
}

// probeDevice is there while the kernel is being asked.
const probeDevice = prefixOut + "-probe"

// Probe asks the kernel by making a device and trying. Its error is a [Missing]
// if shaping is not possible at all.
func Probe() (Abilities, error) {
	c, err := dial()
	if err != nil {
		return Abilities{}, err
	}
	defer c.Close()
	d, _, err := ensureDevice(link{}, probeDevice, probeDevice+aliasMark+"to ask the kernel")
	if err != nil {
		return Abilities{}, err
	}
	a, err := c.probe(d)
	return a, errors.Join(err, removeDevice(d))
}

func (c *conn) probe(d link) (Abilities, error) {
	root := Class{Minor: 1, Rate: 1_000_000, Ceil: 1_000_000, Quantum: 1500, Burst: 1600, Cburst: 1600}
	needed := []struct {
		module
		message
	}{
		{moduleHTB, addTree(d)},
		{moduleHTB, setClass(d, root)},
		{moduleClsact, addClsact(d.index)[0]},
		{moduleBPF, classicFilter(d, nil)},
		{moduleMirred, classicFilter(d, redirect(d.index))},
	}
	for _, n := range needed {
		if err := c.one(n.message); err != nil {
			return Abilities{}, withRemedy(err, n.module)
		}
	}
	a := Abilities{Queue: "bfifo"}
	root.Leaf = &Leaf{Kind: "fq_codel", Limit: 10_000}
	if c.all(setLeaf(d, root)) == nil {
		a.Queue = "fq_codel"
		if err := c.one(removeLeaf(d, root.Minor)); err != nil { // a queue of another kind needs its handle
			return a, err
		}
	}
	root.Leaf = &Leaf{Kind: "bfifo", Segmented: true, Limit: 10_000, Largest: ethernetMTU + frame}
	if err := c.all(setLeaf(d, root)); err != nil {
		lacks := &Missing{What: moduleTBF.name, Option: moduleTBF.option, Module: moduleTBF.modprobe, Err: err}
		a.Reasons = append(a.Reasons, "pods with a low ceiling lose and delay packets that were joined: "+lacks.Error())
		return a, nil
	}
	a.Segment = true
	return a, nil
}

// classicFilter is a filter that matches nothing.
func classicFilter(d link, action []byte) message {
	options := attrU32(classicProgram(), nl.TCA_BPF_CLASSID, 1)
	if action != nil {
		options = attr(options, nl.TCA_BPF_ACT|unix.NLA_F_NESTED, attr(nil, nl.TCA_ACT_TAB|unix.NLA_F_NESTED, action))
	}
	m := tcMessage(unix.RTM_NEWTFILTER, replace, d.index, filterHandle, egressParent, filterInfo(filterPreference), "filter of "+d.name)
	return m.options("bpf", options)
}

// classicProgram are options with a program of the old kind that returns 0, for
// which nothing needs to be loaded (linux/filter.h: code, jt, jf, k).
func classicProgram() []byte {
	const ret = 0x06 // BPF_RET|BPF_K
	options := attr(nil, nl.TCA_BPF_OPS_LEN, binary.NativeEndian.AppendUint16(nil, 1))
	return attr(options, nl.TCA_BPF_OPS, append(binary.NativeEndian.AppendUint16(nil, ret), 0, 0, 0, 0, 0, 0))
}

// one sends a message alone.
func (c *conn) one(m message) error { return c.send([]message{m})[0] }

// all sends messages in order; the error is all of theirs.
func (c *conn) all(messages []message) error {
	var problems []error
	failed := c.send(messages)
	for i := range messages {
		problems = append(problems, failed[i])
	}
	return errors.Join(problems...)
}
