package view

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/snapshot"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// Top is what a node's pods do now.
type Top struct {
	Node string    `json:"node"`
	Time time.Time `json:"time"`
	// Trouble is what keeps the node from doing what is wanted.
	Trouble []string `json:"trouble,omitempty"`
	Uplinks []Line   `json:"uplinks"`
	// Rows are the node's own classes and its pods, as sorted.
	Rows []Row `json:"rows"`
}

// Line is an uplink: what crosses it now, what it carries and what is promised.
type Line struct {
	Device     string                  `json:"device"`
	Directions snapshot.Both[LineFlow] `json:"directions"`
}

// LineFlow is one direction of a line.
type LineFlow struct {
	snapshot.Line
	Now bitrate.Rate `json:"now"`
}

// Row is a pod, a container of the pod above it, or one of the node's own
// classes: control and host.
type Row struct {
	Namespace string `json:"namespace,omitempty"`
	Pod       string `json:"pod,omitempty"`
	// Container has its own row if it has limits.
	Container string `json:"container,omitempty"`
	// Class is "control", "names" or "host" for what belongs to no pod.
	Class      string              `json:"class,omitempty"`
	Directions snapshot.Both[Flow] `json:"directions"`
}

// Flow is one direction of a row on all uplinks; what stays on the node is not
// in it.
type Flow struct {
	// Counted is false where the traffic passes by without being counted: a pod
	// without limits on a node whose uplink's rate is not known.
	Counted bool `json:"counted"`
	// Now is the rate, Min and Max are the limits; 0 is none.
	Now bitrate.Rate `json:"now"`
	Min bitrate.Rate `json:"min,omitempty"`
	Max bitrate.Rate `json:"max,omitempty"`
	// Refused tells that the guarantee does not hold.
	Refused bool `json:"refused,omitempty"`
	// Bar is what Now is compared with: Max or, without, what the line lets
	// through; 0 where neither is known.
	Bar bitrate.Rate `json:"-"`
	// Backlog waits, in bytes, and takes Wait at the rate of now.
	Backlog uint64        `json:"backlog"`
	Wait    time.Duration `json:"wait"`
	// Drops are packets per second.
	Drops float64 `json:"dropsPerSecond"`
}

// NewTop compares two snapshots of a node. Sort is one of [Sorts].
func NewTop(before, after snapshot.Node, sort string) Top {
	speeds := snapshot.Between(before, after)
	t := Top{Node: after.Node, Time: after.Time, Trouble: after.Trouble}
	for _, u := range after.Uplinks {
		line := Line{Device: u.Device}
		for _, d := range model.Directions {
			flow := line.Directions.At(d)
			flow.Line = *u.Directions.At(d)
			for _, c := range u.Classes {
				if c.Owner == "root" && c.Direction == d.String() {
					flow.Now = speeds.Of(c).Rate
				}
			}
		}
		t.Uplinks = append(t.Uplinks, line)
	}
	t.own(after, speeds)
	var pods [][]Row
	for _, p := range after.Pods {
		pods = append(pods, podRows(p, after, speeds))
	}
	slices.SortStableFunc(pods, func(a, b []Row) int { return sorts[sort](a[0], b[0]) })
	for _, rows := range pods {
		t.Rows = append(t.Rows, rows...)
	}
	return t
}

// own adds the rows of what belongs to no pod.
func (t *Top) own(n snapshot.Node, speeds snapshot.Speeds) {
	for _, name := range []string{"control", "names", "host"} {
		var classes []snapshot.Class
		for _, u := range n.Uplinks {
			for _, c := range u.Classes {
				if c.Owner == name && u.Directions.At(directionOf(c)).Rate > 0 {
					classes = append(classes, c)
				}
			}
		}
		if len(classes) == 0 {
			continue // the rate of no uplink is known: neither passes a tree
		}
		row := Row{Class: name}
		for _, d := range model.Directions {
			f := flow(classes, d, n, speeds)
			for _, c := range classes {
				if c.Direction == d.String() {
					f.Min = max(f.Min, c.Rate)
				}
			}
			*row.Directions.At(d) = f
		}
		t.Rows = append(t.Rows, row)
	}
}

func directionOf(c snapshot.Class) model.Direction {
	if c.Direction == model.Egress.String() {
		return model.Egress
	}
	return model.Ingress
}

func podRows(p snapshot.Pod, n snapshot.Node, speeds snapshot.Speeds) []Row {
	rows := []Row{row(p, "", p.Classes, p.Limits, n, speeds)}
	for _, c := range p.Containers {
		rows = append(rows, row(p, c.Name, c.Classes, c.Limits, n, speeds))
	}
	return rows
}

func row(p snapshot.Pod, container string, classes []snapshot.Class, limits snapshot.Both[snapshot.Limit], n snapshot.Node, speeds snapshot.Speeds) Row {
	r := Row{Namespace: p.Namespace, Pod: p.Name, Container: container}
	for _, d := range model.Directions {
		f, l := flow(classes, d, n, speeds), limits.At(d)
		f.Min, f.Max, f.Bar = l.Min, l.Max, cmp.Or(l.Max, f.Bar)
		f.Refused = container == "" && l.Granted < l.Min
		*r.Directions.At(d) = f
	}
	return r
}

// flow sums up classes in one direction over the uplinks.
func flow(classes []snapshot.Class, d model.Direction, n snapshot.Node, speeds snapshot.Speeds) Flow {
	var f Flow
	for _, c := range classes {
		if c.Local || c.Direction != d.String() {
			continue
		}
		s := speeds.Of(c)
		f.Counted = true
		f.Now += s.Rate
		f.Drops += s.Drops
		f.Backlog += c.Counters.Backlog
		if c.Counters.Backlog > 0 {
			f.Wait = max(f.Wait, wait(c.Counters.Backlog, cmp.Or(s.Rate, c.Ceil)))
		}
	}
	for _, u := range n.Uplinks {
		f.Bar += u.Directions.At(d).Rate
	}
	return f
}

// wait is how long so many bytes take.
func wait(backlog uint64, rate bitrate.Rate) time.Duration {
	return time.Duration(float64(backlog) * 8 / float64(max(rate, 1)) * float64(time.Second)).Round(100 * time.Microsecond)
}

// DefaultSort is by what passes in both directions.
const DefaultSort = "rate"

// sorts are the orders of pods; all but that by name put the greatest first.
var sorts = map[string]func(a, b Row) int{
	DefaultSort: most(func(f Flow) float64 { return float64(f.Now) }, true, true),
	"egress":    most(func(f Flow) float64 { return float64(f.Now) }, true, false),
	"ingress":   most(func(f Flow) float64 { return float64(f.Now) }, false, true),
	"wait":      most(func(f Flow) float64 { return f.Wait.Seconds() }, true, true),
	"drops":     most(func(f Flow) float64 { return f.Drops }, true, true),
	"min":       most(func(f Flow) float64 { return float64(f.Min) }, true, true),
	"max":       most(func(f Flow) float64 { return float64(f.Max) }, true, true),
	"name":      byName,
}

// Sorts are the words for orders.
var Sorts = []string{DefaultSort, "egress", "ingress", "wait", "drops", "min", "max", "name"}

// CheckSort reports a word that is none of [Sorts].
func CheckSort(word string) error {
	if sorts[word] == nil {
		return fmt.Errorf("order %q: expected one of %q", word, Sorts)
	}
	return nil
}

func most(value func(Flow) float64, out, in bool) func(a, b Row) int {
	of := func(r Row) (sum float64) {
		if out {
			sum += value(r.Directions.Egress)
		}
		if in {
			sum += value(r.Directions.Ingress)
		}
		return sum
	}
	return func(a, b Row) int { return cmp.Or(cmp.Compare(of(b), of(a)), byName(a, b)) }
}

func byName(a, b Row) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Pod, b.Pod))
}
