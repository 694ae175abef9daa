package survey

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/edgefw/apply/ipset"
)

// links are all of them with their addresses and counters.
func links(context.Context) (string, error) {
	all, err := netlink.LinkList()
	var out strings.Builder
	for _, l := range all {
		a := l.Attrs()
		fmt.Fprintf(&out, "%d %s %s mtu %d state %s flags %s master %d parent %d", a.Index, a.Name, l.Type(), a.MTU, a.OperState, a.Flags, a.MasterIndex, a.ParentIndex)
		if a.Alias != "" {
			fmt.Fprintf(&out, " alias %q", a.Alias)
		}
		out.WriteString("\n")
		if s := a.Statistics; s != nil {
			fmt.Fprintf(&out, "    rx %d bytes %d packets %d errors %d dropped; tx %d bytes %d packets %d errors %d dropped\n",
				s.RxBytes, s.RxPackets, s.RxErrors, s.RxDropped, s.TxBytes, s.TxPackets, s.TxErrors, s.TxDropped)
		}
		addrs, _ := netlink.AddrList(l, netlink.FAMILY_ALL) // the link may have gone
		for _, addr := range addrs {
			fmt.Fprintf(&out, "    %s\n", addr)
		}
	}
	return out.String(), err
}

// routes are those of all tables and both families.
func routes(context.Context) (string, error) {
	all, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	return lines(all, func(r netlink.Route) string {
		return fmt.Sprintf("table %d protocol %d type %d metric %d %s", r.Table, r.Protocol, r.Type, r.Priority, r)
	}), err
}

func rules(context.Context) (string, error) {
	all, err := netlink.RuleList(netlink.FAMILY_ALL)
	return lines(all, func(r netlink.Rule) string { return r.String() }), err
}

func neighbours(context.Context) (string, error) {
	all, err := netlink.NeighList(0, netlink.FAMILY_ALL)
	return lines(all, func(n netlink.Neigh) string {
		return fmt.Sprintf("link %d state %#x %s", n.LinkIndex, n.State, n.String())
	}), err
}

func lines[T any](all []T, text func(T) string) string {
	var out strings.Builder
	for _, one := range all {
		out.WriteString(text(one) + "\n")
	}
	return out.String()
}

// queues are queueing disciplines, classes and filters of links that have any beside
// the usual ones.
func queues(context.Context) (string, error) {
	all, err := netlink.LinkList()
	errs := []error{err}
	var out strings.Builder
	for _, l := range all {
		disciplines, err := netlink.QdiscList(l)
		errs = append(errs, err)
		for _, q := range disciplines {
			fmt.Fprintf(&out, "%s: %s %s\n", l.Attrs().Name, q.Type(), q)
			if q.Type() != "htb" {
				continue
			}
			classes, err := netlink.ClassList(l, netlink.MakeHandle(0, 0))
			errs = append(errs, err)
			for _, c := range classes {
				fmt.Fprintf(&out, "    class %s", c)
				if s := c.Attrs().Statistics; s != nil && s.Basic != nil && s.Queue != nil {
					fmt.Fprintf(&out, " sent %d bytes %d packets, waiting %d, dropped %d", s.Basic.Bytes, s.Basic.Packets, s.Queue.Qlen, s.Queue.Drops)
				}
				out.WriteString("\n")
			}
		}
		for _, parent := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
			filters, _ := netlink.FilterList(l, parent) // most links have no such place
			for _, f := range filters {
				fmt.Fprintf(&out, "    filter %s %+v\n", f.Type(), *f.Attrs())
			}
		}
	}
	return out.String(), errors.Join(errs...)
}

// sets are the kernel's sets with their sizes.
func sets(context.Context) (string, error) {
	h, err := ipset.Open()
	if err != nil {
		return "", err
	}
	defer func() { _ = h.Close() }()
	all, err := h.List("")
	return lines(all, func(i ipset.Info) string { return fmt.Sprintf("%+v", i) }), err
}
