package shape

import (
	"fmt"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Our filters have this handle; the preference of the first uplink's is the
// same number and that of further ones, which only take what routes say is
// theirs, are below and so asked before.
const (
	filterHandle     = 0x6b65
	filterPreference = 0x6b65
	maxUplinks       = 16
	protocolAll      = 0x0300 // ETH_P_ALL in network byte order
)

const (
	// filterName begins the names of our filters.
	filterName = "kedge_"
	// markChain has one filter, which says that the clsact is ours: no packet
	// comes to a chain to which none is sent (tc(8), "goto chain").
	markChain = 0x6b65
)

// filter is one of ours as the kernel has it.
type filter struct {
	Filter
	preference uint16
	parent     uint32
	program    uint32
	// to is the index of the device it sends packets to; 0 for none.
	to int
}

func parentOf(h Hook) uint32 {
	if h == PodEgress || h == HostIngress {
		return ingressParent
	}
	return egressParent
}

func preferenceOf(uplink int) uint16 { return uint16(filterPreference - uplink) }

func filterInfo(preference uint16) uint32 { return uint32(preference)<<16 | protocolAll }

// addClsact makes the place for filters on a link, with our mark. The kernel
// stops the link for it, for milliseconds in which it drops what the host sends:
// so it is done when a pod is new and then left alone.
func addClsact(device int) []message {
	m := tcMessage(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_EXCL, device, clsactHandle, clsactParent, 0, fmt.Sprintf("clsact of link %d", device))
	mark := tcMessage(unix.RTM_NEWTFILTER, replace, device, filterHandle, ingressParent, filterInfo(filterPreference), fmt.Sprintf("mark of link %d", device))
	mark.body = attrU32(mark.body, nl.TCA_CHAIN, markChain)
	return []message{m.options("clsact", nil), mark.options("bpf", classicProgram())}
}

// leave takes our clsact away, or only the mark where others use it.
func leave(device int, shared bool) message {
	if !shared {
		return removeClsact(device)
	}
	m := tcMessage(unix.RTM_DELTFILTER, 0, device, filterHandle, ingressParent, filterInfo(filterPreference), fmt.Sprintf("mark of link %d", device))
	m.body = attrU32(m.body, nl.TCA_CHAIN, markChain)
	return m
}

func removeClsact(device int) message {
	return tcMessage(unix.RTM_DELQDISC, 0, device, clsactHandle, clsactParent, 0, fmt.Sprintf("clsact of link %d", device))
}

// setFilter makes a filter or replaces its program and action at once.
func setFilter(f Filter, program, to int) message {
	options := attrU32(nil, nl.TCA_BPF_FD, uint32(program))
	options = attrText(options, nl.TCA_BPF_NAME, filterName+f.Hook.String())
	options = attr(options, nl.TCA_BPF_ACT|unix.NLA_F_NESTED, attr(nil, nl.TCA_ACT_TAB|unix.NLA_F_NESTED, redirect(to)))
	info := filterInfo(preferenceOf(f.Uplink))
	what := fmt.Sprintf("filter %s of link %d", f.Hook, f.Link)
	return tcMessage(unix.RTM_NEWTFILTER, replace, f.Link, filterHandle, parentOf(f.Hook), info, what).options("bpf", options)
}

// redirect is the action mirred(8) "egress redirect".
func redirect(device int) []byte {
	const (
		stolen         = 4 // TC_ACT_STOLEN
		egressRedirect = 1 // TCA_EGRESS_REDIR
	)
	kind := attrText(nil, nl.TCA_ACT_KIND, "mirred")
	params := attr(nil, nl.TCA_MIRRED_PARMS, u32s(0, 0, stolen, 0, 0, egressRedirect, uint32(device)))
	return attr(kind, nl.TCA_ACT_OPTIONS|unix.NLA_F_NESTED, params)
}

func removeFilter(f filter) message {
	what := fmt.Sprintf("filter %s of link %d", f.Hook, f.Link)
	return tcMessage(unix.RTM_DELTFILTER, 0, f.Link, filterHandle, f.parent, filterInfo(f.preference), what)
}

// onLink is what a clsact holds.
type onLink struct {
	filters []filter
	// marked tells that the clsact is ours, others that it has filters that are
	// not.
	marked, others bool
}

// filters reads both hooks of a link.
func (c *conn) filters(device int) (l onLink, err error) {
	for _, parent := range []uint32{ingressParent, egressParent} {
		before := l
		err = c.dump(unix.RTM_GETTFILTER, nl.TcMsg{Ifindex: int32(device), Parent: parent}, func() { l = before }, func(tc nl.TcMsg, a attrs) {
			if int(tc.Ifindex) == device && tc.Handle != 0 { // a preference without a filter is listed as well
				l.add(tc, a)
			}
		})
		if err != nil {
			return onLink{}, fmt.Errorf("listing the filters of link %d: %w", device, err)
		}
	}
	return l, nil
}

func (l *onLink) add(tc nl.TcMsg, a attrs) {
	if f, ok := decodeFilter(tc, a); ok {
		l.filters = append(l.filters, f)
	} else if a.text(nl.TCA_KIND) == "bpf" && a.u32(nl.TCA_CHAIN) == markChain && tc.Handle == filterHandle {
		l.marked = true
	} else {
		l.others = true
	}
}

func decodeFilter(tc nl.TcMsg, a attrs) (filter, bool) {
	options := a.nested(nl.TCA_OPTIONS)
	name := options.text(nl.TCA_BPF_NAME)
	hook, known := hookNamed(strings.TrimPrefix(name, filterName))
	if a.text(nl.TCA_KIND) != "bpf" || tc.Handle != filterHandle || !known || a.u32(nl.TCA_CHAIN) != 0 {
		return filter{}, false
	}
	f := filter{
		Filter:     Filter{Link: int(tc.Ifindex), Hook: hook},
		preference: uint16(tc.Info >> 16), parent: tc.Parent,
		program: options.u32(nl.TCA_BPF_ID),
	}
	f.Uplink = filterPreference - int(f.preference)
	action := options.nested(nl.TCA_BPF_ACT).nested(nl.TCA_ACT_TAB)
	const indexOffset = 6 * 4 // struct tc_mirred
	if params := action.nested(nl.TCA_ACT_OPTIONS).find(nl.TCA_MIRRED_PARMS); action.text(nl.TCA_ACT_KIND) == "mirred" && len(params) >= indexOffset+4 {
		f.to = int(parseU32(params[indexOffset:]))
	}
	return f, true
}

func hookNamed(name string) (Hook, bool) {
	for _, h := range Hooks {
		if h.String() == name {
			return h, true
		}
	}
	return 0, false
}
