package diagnosis

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kedge-io/kedge/internal/finding"
	"github.com/kedge-io/kedge/internal/health"
	"github.com/kedge-io/kedge/internal/lifecycle"
)

// Node is what is known of one. What does not apply is left at its zero value.
type Node struct {
	Now time.Time
	// Report is the daemon's, or Down why it has none. Version is that of the program
	// that asks.
	Report  health.Report
	Down    error
	Version string
	// Links are those of the daemon.
	Links      []Link
	LinksError error
	// Databases are those on this host; none with an external datastore.
	Databases      []Database
	DatabasesError error
	// Certificates are all leaves on this host.
	Certificates []Certificate
	// Snapshots is nil where none are made.
	Snapshots *Snapshots
}

// fresh is how long a daemon may be starting.
const fresh = time.Minute

// Findings are those about all of it.
func (n Node) Findings() []finding.Finding {
	out := n.daemon()
	out = append(out, n.links()...)
	out = append(out, n.databases()...)
	out = append(out, n.certificates()...)
	return append(out, n.snapshots()...)
}

func (n Node) daemon() []finding.Finding {
	if n.Down != nil {
		return one(finding.Daemon, finding.Error, "%v", n.Down)
	}
	r := n.Report
	out := one(finding.Daemon, finding.OK, "%s %s, version %s, up %s", r.Role, r.Node, r.Version, health.Age(n.Now.Sub(r.Started)))
	if n.Version != "" && r.Version != n.Version {
		out = append(out, finding.New(finding.NodeVersion, finding.Warning, "the daemon is version %s, this program %s", r.Version, n.Version))
	}
	for _, c := range r.Components {
		out = append(out, n.component(c)...)
	}
	for _, c := range r.Conditions {
		s := finding.Info
		if c.Status == health.ConditionWarning {
			s = finding.Warning
		}
		out = append(out, finding.New(finding.Condition, s, "%s: %s", c.Name, c.Message))
	}
	return out
}

func (n Node) component(c lifecycle.Status) []finding.Finding {
	since := n.Now.Sub(c.Since)
	switch {
	case c.State == lifecycle.StateFailed:
		return one(finding.Component, finding.Error, "%s has failed: %s", c.Name, c.LastError)
	case c.State != lifecycle.StateReady && since < fresh && n.Now.Sub(n.Report.Started) < 2*fresh:
		return one(finding.Component, finding.Info, "%s is %s since %s", c.Name, c.State, health.Age(since))
	case c.State != lifecycle.StateReady:
		return one(finding.Component, finding.Error, "%s is %s since %s%s", c.Name, c.State, health.Age(since), because(c.LastError))
	case c.Degraded:
		return one(finding.Degraded, finding.Warning, "%s, since %s: %s", c.Name, health.Age(since), c.LastError)
	}
	return one(finding.Component, finding.OK, "%s", c.Name)
}

func because(err string) string {
	if err == "" {
		return ""
	}
	return ": " + err
}

// Link is one of the daemon's links.
type Link struct {
	Peer       string
	Up         bool
	Since      time.Time
	LastError  string
	RTT        time.Duration
	Reconnects int
	Lanes      int
}

const (
	// often is how many sessions an hour are too many.
	often = 6
	// listed bounds the names in one finding.
	listed = 10
)

func (n Node) links() []finding.Finding {
	if n.LinksError != nil {
		return one(finding.LinkDown, finding.Warning, "%v", n.LinksError)
	}
	var down, flapping []string
	for _, l := range n.Links {
		switch hours := max(n.Now.Sub(n.Report.Started).Hours(), 1); {
		case !l.Up:
			down = append(down, fmt.Sprintf("%s (since %s%s)", l.Peer, health.Age(n.Now.Sub(l.Since)), because(l.LastError)))
		case float64(l.Reconnects) > often*hours:
			flapping = append(flapping, fmt.Sprintf("%s (%d times%s)", l.Peer, l.Reconnects, because(l.LastError)))
		}
	}
	var out []finding.Finding
	if len(down) > 0 {
		out = append(out, finding.New(finding.LinkDown, finding.Warning, "%d of %d links are down: %s", len(down), len(n.Links), some(down)))
	} else if len(n.Links) > 0 {
		out = append(out, finding.New(finding.LinkDown, finding.OK, "%d links are up", len(n.Links)))
	}
	if len(flapping) > 0 {
		out = append(out, finding.New(finding.LinkSlow, finding.Warning, "links were made again: %s", some(flapping)))
	}
	if i := slices.IndexFunc(n.Links, func(l Link) bool { return l.Up && l.Lanes == 1 && n.Now.Sub(l.Since) > fresh }); i >= 0 {
		out = append(out, finding.New(finding.LinkLane, finding.Info, "the link with %s has one connection only", n.Links[i].Peer))
	}
	return out
}

func some(all []string) string {
	if len(all) > listed {
		return strings.Join(all[:listed], ", ") + fmt.Sprintf(" and %d more", len(all)-listed)
	}
	return strings.Join(all, ", ")
}

func one(id finding.ID, s finding.Severity, format string, args ...any) []finding.Finding {
	return []finding.Finding{finding.New(id, s, format, args...)}
}
