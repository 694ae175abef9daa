package view

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// barWidth is the length of a full bar in characters.
const barWidth = 10

// WriteTop prints the uplinks and a line for each row.
func WriteTop(w io.Writer, t Top) error {
	head := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, u := range t.Uplinks {
		for _, d := range model.Directions {
			fmt.Fprintf(head, "%s\t%s\t%s\t%s\n", t.Node, cmp.Or(u.Device, "no uplink"), d, lineText(*u.Directions.At(d)))
		}
	}
	if err := head.Flush(); err != nil {
		return err
	}
	for _, trouble := range t.Trouble {
		fmt.Fprintf(w, "! %s\n", trouble)
	}
	if len(t.Rows) == 0 {
		_, err := fmt.Fprintln(w, "\nno pod runs on this node")
		return err
	}
	body := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	const side = "\tMIN\tMAX\tWAIT\tDROPS/S"
	fmt.Fprintf(body, "\nPOD\tEGRESS\tNOW%s\tINGRESS\tNOW%s\n", side, side)
	for _, r := range t.Rows {
		fmt.Fprintf(body, "%s\t%s\t%s\n", r.name(), r.Directions.Egress.columns(), r.Directions.Ingress.columns())
	}
	return body.Flush()
}

func lineText(l LineFlow) string {
	if l.Rate == 0 {
		return "rate not known: ceilings hold, nothing can be promised (see --uplink)"
	}
	text := fmt.Sprintf("%s %s of %s, reserve %s", bar(l.Now, l.Rate), l.Now.Human(), l.Rate.Human(), l.Reserve.Human())
	if l.Capacity > 0 {
		text += fmt.Sprintf(", promised %s of %s", l.Promised.Human(), l.Capacity.Human())
	}
	return text
}

func (r Row) name() string {
	switch {
	case r.Class != "":
		return "(" + r.Class + ")"
	case r.Container != "":
		return "  " + r.Container
	}
	return r.Namespace + "/" + r.Pod
}

func (f Flow) columns() string {
	if !f.Counted {
		return strings.Join([]string{"-", "-", f.guarantee(), limit(f.Max), "-", "-"}, "\t")
	}
	return strings.Join([]string{bar(f.Now, f.Bar), f.Now.Human(), f.guarantee(), limit(f.Max), waiting(f.Wait), drops(f.Drops)}, "\t")
}

// bar draws a part of a whole; one that passes at all has a mark.
func bar(part, whole bitrate.Rate) string {
	if whole == 0 {
		return "-"
	}
	n := min(int(math.Round(float64(part)/float64(whole)*barWidth)), barWidth)
	if n == 0 && part > 0 {
		n = 1
	}
	return "[" + strings.Repeat("#", n) + strings.Repeat(".", barWidth-n) + "]"
}

// guarantee has a mark where it does not hold; kedge bandwidth show says why.
func (f Flow) guarantee() string {
	if f.Refused {
		return limit(f.Min) + "!"
	}
	return limit(f.Min)
}

func limit(r bitrate.Rate) string {
	if r == 0 {
		return "-"
	}
	return r.String()
}

func waiting(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	if d < 10*time.Millisecond {
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}

func drops(perSecond float64) string {
	if perSecond == 0 {
		return "-"
	}
	if perSecond < 10 {
		return fmt.Sprintf("%.1f", perSecond)
	}
	return fmt.Sprintf("%.0f", perSecond)
}
