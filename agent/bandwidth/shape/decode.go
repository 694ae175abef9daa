package shape

import (
	"encoding/binary"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/agent/bandwidth/plan"
	"github.com/kedge-io/kedge/internal/bitrate"
)

func parseU32(b []byte) uint32 { return binary.NativeEndian.Uint32(b) }

// tree is what the kernel has below an IFB device.
type tree struct {
	link
	// ours tells that the root is an HTB with our handle and default class.
	ours    bool
	classes map[uint16]Class
}

// qdiscs are the queueing disciplines of a namespace, by device.
type qdiscs struct {
	trees  map[int]bool
	leaves map[int]map[uint16]*Leaf
	// inner are the kinds of queues inside of leaves, which may be listed first.
	inner  map[int]map[uint16]string
	clsact map[int]bool
	// ingress are devices with the predecessor of clsact, in its place.
	ingress map[int]bool
}

func (c *conn) qdiscs() (qdiscs, error) {
	var q qdiscs
	restart := func() {
		q = qdiscs{
			trees: map[int]bool{}, leaves: map[int]map[uint16]*Leaf{},
			inner: map[int]map[uint16]string{}, clsact: map[int]bool{}, ingress: map[int]bool{},
		}
	}
	err := c.dump(unix.RTM_GETQDISC, nl.TcMsg{}, restart, func(tc nl.TcMsg, a attrs) { q.add(tc, a) })
	if err != nil {
		return q, fmt.Errorf("listing queueing disciplines: %w", err)
	}
	for device, kinds := range q.inner {
		for major, kind := range kinds {
			if l := q.leaves[device][major]; l != nil && l.Segmented {
				l.Kind = kind
			}
		}
	}
	return q, nil
}

func (q qdiscs) add(tc nl.TcMsg, a attrs) {
	device, kind := int(tc.Ifindex), a.text(nl.TCA_KIND)
	major := uint16(tc.Parent >> 16)
	switch {
	case kind == "clsact":
		q.clsact[device] = true
	case kind == "ingress":
		q.ingress[device] = true
	case tc.Parent == rootParent:
		glob := a.nested(nl.TCA_OPTIONS).find(nl.TCA_HTB_INIT)
		q.trees[device] = kind == "htb" && tc.Handle == handle(0) && len(glob) >= 12 && parseU32(glob[8:]) == uint32(plan.MinorHost)
	case major == plan.Major:
		q.leaf(device, uint16(tc.Parent), tc.Handle, decodeLeaf(kind, a))
	default:
		if q.inner[device] == nil {
			q.inner[device] = map[uint16]string{}
		}
		q.inner[device][major] = kind
	}
}

func (q qdiscs) leaf(device int, minor uint16, own uint32, l Leaf) {
	if own != leafHandle(minor) {
		l.Kind = "foreign " + l.Kind
	}
	if q.leaves[device] == nil {
		q.leaves[device] = map[uint16]*Leaf{}
	}
	q.leaves[device][minor] = &l
}

func decodeLeaf(kind string, a attrs) Leaf {
	l := Leaf{Kind: kind}
	switch kind {
	case "bfifo", "pfifo":
		l.Limit = a.u32(nl.TCA_OPTIONS)
	case "fq_codel":
		l.Limit = a.nested(nl.TCA_OPTIONS).u32(nl.TCA_FQ_CODEL_MEMORY_LIMIT) / truesizeShare
	case "tbf":
		const limitOffset, largestOffset = 2 * nl.SizeofTcRateSpec, 2*nl.SizeofTcRateSpec + 8
		if b := a.nested(nl.TCA_OPTIONS).find(nl.TCA_TBF_PARMS); len(b) >= largestOffset+4 {
			// The queue that TBF makes by itself is not listed.
			l = Leaf{Kind: "bfifo", Segmented: true, Limit: parseU32(b[limitOffset:]), Largest: parseU32(b[largestOffset:])}
		}
	}
	return l
}

// classes are the classes of an IFB device with their queues.
func (c *conn) classes(device int, leaves map[uint16]*Leaf) (map[uint16]Class, error) {
	all := map[uint16]Class{}
	restart := func() { clear(all) }
	err := c.dump(unix.RTM_GETTCLASS, nl.TcMsg{Ifindex: int32(device)}, restart, func(tc nl.TcMsg, a attrs) {
		if int(tc.Ifindex) != device || uint16(tc.Handle>>16) != plan.Major {
			return
		}
		if k, ok := decodeClass(tc, a); ok {
			k.Leaf = leaves[k.Minor]
			all[k.Minor] = k
		}
	})
	if err != nil {
		return nil, fmt.Errorf("listing the classes of link %d: %w", device, err)
	}
	return all, nil
}

func decodeClass(tc nl.TcMsg, a attrs) (Class, bool) {
	options := a.nested(nl.TCA_OPTIONS)
	b := options.find(nl.TCA_HTB_PARMS)
	if len(b) < nl.SizeofTcHtbCopt {
		return Class{}, false
	}
	o := nl.DeserializeTcHtbCopt(b)
	k := Class{
		Minor: uint16(tc.Handle), Priority: uint8(o.Prio), Quantum: o.Quantum,
		Rate: decodeRate(o.Rate.Rate, options.u64(nl.TCA_HTB_RATE64)),
		Ceil: decodeRate(o.Ceil.Rate, options.u64(nl.TCA_HTB_CEIL64)),
	}
	k.Burst, k.Cburst = bytes(o.Buffer, k.Rate), bytes(o.Cbuffer, k.Ceil)
	if tc.Parent != rootParent {
		k.Parent = uint16(tc.Parent)
	}
	return k, true
}

func decodeRate(low uint32, full uint64) bitrate.Rate {
	return bits * bitrate.Rate(max(uint64(low), full))
}
