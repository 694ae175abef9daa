package view

import (
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteFleet prints how far all nodes are, as a table.
func WriteFleet(w io.Writer, f Fleet, now time.Time) error {
	fmt.Fprintf(w, "revision %d\n", f.Revision)
	if f.Problem != "" {
		fmt.Fprintf(w, "problem: %s\n", f.Problem)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NODE\tLINK\tSTATE\tSINCE\tREVISION\tLATENCY\tKERNEL\tADDRESSES\tFIREWALLS")
	for _, s := range f.Nodes {
		since := "-"
		if s.Since != nil {
			since = brief(now.Sub(*s.Since))
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.Node, yesNo(s.Connected), s.State, since, revisions(s.Applied, s.Wanted),
			brief(s.Latency), brief(s.Took), list(s.Addresses), cmp.Or(strings.Join(s.Firewalls, ","), "-"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, s := range f.Nodes {
		if s.Reason != "" {
			fmt.Fprintf(w, "%s: %s\n", s.Node, s.Reason)
		}
	}
	return nil
}

// revisions is "7", or "5 of 7" for a node that is behind.
func revisions(applied, wanted uint64) string {
	if applied == wanted {
		return fmt.Sprint(applied)
	}
	return fmt.Sprintf("%d of %d", applied, wanted)
}

func yesNo(b bool) string {
	if b {
		return "up"
	}
	return "down"
}

func list(addrs []netip.Addr) string {
	var words []string
	for _, a := range addrs {
		words = append(words, a.String())
	}
	return cmp.Or(strings.Join(words, ","), "-")
}

// brief is a duration with two or three digits.
func brief(d time.Duration) string {
	switch {
	case d <= 0:
		return "-"
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// WriteNode prints how far a node is.
func WriteNode(w io.Writer, n Node) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "node\t%s\n", n.Node)
	fmt.Fprintf(t, "state\t%s\n", cmp.Or(n.State, "no rules"))
	if n.Reason != "" {
		fmt.Fprintf(t, "reason\t%s\n", n.Reason)
	}
	fmt.Fprintf(t, "revision\t%d in the kernel, %d proven, %d wanted\n", n.Enforced, n.Proven, n.Wanted)
	if n.Lag > 0 {
		fmt.Fprintf(t, "lag\t%s\n", brief(n.Lag))
	}
	fmt.Fprintf(t, "rules\t%d of the host, %d of %d pods\n", n.HostRules, n.PodRules, n.Pods)
	fmt.Fprintf(t, "sets\t%d with %d entries\n", n.Sets, n.Entries)
	fmt.Fprintf(t, "latest change\t%s, %s\n", cmp.Or(n.Way, "none"), brief(n.Took))
	fmt.Fprintf(t, "changes\t%d, %d rolled back, put back %d times\n", n.Applies, n.Rollbacks, n.Restored)
	f := n.Facts
	fmt.Fprintf(t, "implied: servers\t%s\n", words(f.Servers))
	fmt.Fprintf(t, "implied: resolvers\t%s\n", words(f.Resolvers))
	fmt.Fprintf(t, "implied: time servers\t%s\n", words(f.TimeServers))
	var failsafe []string
	for _, e := range f.Failsafe {
		failsafe = append(failsafe, fmt.Sprintf("%s to port %d", e.From, e.Port))
	}
	fmt.Fprintf(t, "implied: --failsafe\t%s\n", cmp.Or(strings.Join(failsafe, ", "), "none"))
	if n.Minimal {
		fmt.Fprintln(t, "minimal\tthe file of rules is damaged: only what is implied comes in until a server is heard")
	}
	if n.Undecided {
		fmt.Fprintln(t, "undecided\tthe server was out of reach with the former rules as well: tried again when the link is back")
	}
	for _, trouble := range n.Trouble {
		fmt.Fprintf(t, "trouble\t%s\n", trouble)
	}
	return t.Flush()
}

func words[T fmt.Stringer](all []T) string {
	var out []string
	for _, v := range all {
		out = append(out, v.String())
	}
	return cmp.Or(strings.Join(out, ", "), "none")
}

// WriteCounters prints what rules have matched, those that matched most first.
// Rules that matched nothing are left out unless all is set.
func WriteCounters(w io.Writer, counters []Counter, all bool) error {
	sorted := slices.SortedStableFunc(slices.Values(counters), func(a, b Counter) int {
		return cmp.Or(cmp.Compare(b.Packets, a.Packets), cmp.Compare(a.Rule, b.Rule))
	})
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PACKETS\tBYTES\tLIMITED\tRULE")
	none := 0
	for _, c := range sorted {
		if c.Packets == 0 && !all {
			none++
			continue
		}
		limited := "-"
		if c.Limited > 0 {
			limited = fmt.Sprint(c.Limited)
		}
		fmt.Fprintf(t, "%d\t%d\t%s\t%s\n", c.Packets, c.Bytes, limited, c.Rule)
	}
	if none > 0 {
		fmt.Fprintf(t, "%d rules have matched nothing: see them with --all\n", none)
	}
	return t.Flush()
}
