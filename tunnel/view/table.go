package view

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/docker/go-units"

	"github.com/kedge-io/kedge/internal/health"
	"github.com/kedge-io/kedge/tunnel"
)

// WriteTable prints one line for each link.
func WriteTable(w io.Writer, r Report, now time.Time) error {
	if len(r.Links) == 0 {
		_, err := fmt.Fprintln(w, "no node has a link to this server")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	peer := "NODE"
	if r.Role != "server" {
		peer = "SERVER"
	}
	fmt.Fprintf(t, "%s\tSTATE\tSINCE\tRTT\tLANES\tRECONNECTS\tSTREAMS\tIN\tOUT\tREMOTE\tLAST ERROR\n", peer)
	for _, l := range r.Links {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\t%s\n", l.Peer, l.State, age(l.Since, now), roundTrip(l.RTT),
			lanes(l.Lanes), l.Reconnects, l.Streams, size(l.BytesIn), size(l.BytesOut), dash(l.RemoteAddr), dash(firstLine(l.LastError)))
	}
	if err := t.Flush(); err != nil || len(r.Servers) == 0 {
		return err
	}
	return writeServers(w, r.Servers, now)
}

func writeServers(w io.Writer, servers []Server, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintf(t, "\nAPI AT\tSOURCE\tSTATE\tSINCE\tCLIENTS\tLAST ERROR\n")
	for _, s := range servers {
		source := "learned"
		if s.Given {
			source = "--server"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\n", s.Address, source, s.State, age(s.Since, now), s.Clients, dash(firstLine(s.LastError)))
	}
	return t.Flush()
}

// WriteLink prints all that is known of one link.
func WriteLink(w io.Writer, l Link, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(t, "%s\t%s\n", name, value)
		}
	}
	row("Peer", l.Peer)
	row("State", fmt.Sprintf("%s since %s", l.State, age(l.Since, now)))
	row("Remote address", l.RemoteAddr)
	row("Software", l.Software)
	row("Features", strings.Join(l.Features, ", "))
	row("Round trip", roundTrip(l.RTT))
	row("Reconnects", fmt.Sprint(l.Reconnects))
	row("Streams", fmt.Sprint(l.Streams))
	row("Bytes", fmt.Sprintf("%s in, %s out", size(l.BytesIn), size(l.BytesOut)))
	row("Relayed packets", fmt.Sprintf("%d in, %d out, %d dropped, %d lost", l.Packets.In, l.Packets.Out, l.Packets.Dropped, l.Packets.Lost))
	row("Refused packets", counts(l.Packets.Refused))
	row("Failed dials", counts(l.DialErrors))
	row("Last error", l.LastError)
	if len(l.Lanes) > 0 {
		fmt.Fprintf(t, "\nLANE\tSINCE\tRTT\tIN\tOUT\tREMOTE\n")
	}
	for _, lane := range l.Lanes {
		fmt.Fprintf(t, "%s/%d\t%s\t%s\t%s\t%s\t%s\n", lane.Class, lane.Index, age(lane.Since, now), roundTrip(lane.RTT),
			size(lane.BytesIn), size(lane.BytesOut), dash(lane.RemoteAddr))
	}
	return t.Flush()
}

func age(since, now time.Time) string {
	if since.IsZero() {
		return "-"
	}
	return health.Age(now.Sub(since))
}

func roundTrip(d time.Duration) string {
	switch {
	case d <= 0:
		return "-"
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}

// lanes counts the lanes by class: "control interactive bulk*2".
func lanes(list []tunnel.LaneStatus) string {
	var words []string
	for i := 0; i < len(list); {
		n := i
		for n < len(list) && list[n].Class == list[i].Class {
			n++
		}
		word := string(list[i].Class)
		if n-i > 1 {
			word += fmt.Sprintf("*%d", n-i)
		}
		words, i = append(words, word), n
	}
	return dash(strings.Join(words, "+"))
}

func counts(m map[string]int64) string {
	var words []string
	for reason, n := range m {
		words = append(words, fmt.Sprintf("%d %s", n, reason))
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}

func size(n int64) string { return units.HumanSizeWithPrecision(float64(n), 3) }

func dash(s string) string { return cmp.Or(s, "-") }

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
