package health

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteTable prints r for people: a line about the daemon, a table of the
// components and one of the conditions. Times are durations before now.
func WriteTable(w io.Writer, r Report, now time.Time) error {
	what := r.Role
	if r.Node != "" {
		what += " " + r.Node
	}
	verdict := "ready"
	if !r.Healthy {
		verdict = "failed"
	} else if !r.Ready {
		verdict = "not ready"
	}
	fmt.Fprintf(w, "kedge %s %s, pid %d, up %s: %s\n\n", what, r.Version, r.PID, Age(now.Sub(r.Started)), verdict)
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(tw, "COMPONENT\tSTATE\tSINCE\tLAST ERROR")
	for _, c := range r.Components {
		state := string(c.State)
		if c.Degraded {
			state += " (degraded)"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", c.Name, state, Age(now.Sub(c.Since)), oneLine(c.LastError))
	}
	if err := tw.Flush(); err != nil || len(r.Conditions) == 0 {
		return err
	}
	fmt.Fprintln(w)
	fmt.Fprintln(tw, "CONDITION\tSTATUS\tMESSAGE")
	for _, c := range r.Conditions {
		fmt.Fprintf(tw, "%s\t%s\t%s\n", c.Name, c.Status, oneLine(c.Message))
	}
	return tw.Flush()
}

func oneLine(s string) string {
	if s = strings.Join(strings.Fields(s), " "); s == "" {
		return "-"
	}
	return s
}

// Age prints d with at most two units, the way people say it: 42s, 5m10s,
// 3h12m, 9d4h. Negative durations, from a clock that was set back, are 0s.
func Age(d time.Duration) string {
	s := int64(max(d, 0) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh%dm", s/3600, s%3600/60)
	default:
		return fmt.Sprintf("%dd%dh", s/86400, s%86400/3600)
	}
}
