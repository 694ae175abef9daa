package view

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/docker/go-units"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/snapshot"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// Find returns the pods of a name: NAMESPACE/POD, or POD in the namespace
// default. There can be two, if one is being replaced. The error names those
// that were perhaps meant.
func Find(n snapshot.Node, name string) ([]snapshot.Pod, error) {
	namespace, pod, full := strings.Cut(name, "/")
	if !full {
		namespace, pod = "default", name
	}
	var found []snapshot.Pod
	var others []string
	for _, p := range n.Pods {
		switch {
		case p.Namespace == namespace && p.Name == pod:
			found = append(found, p)
		case p.Name == pod:
			others = append(others, p.Namespace+"/"+p.Name)
		}
	}
	switch {
	case len(found) > 0:
		return found, nil
	case len(others) > 0:
		return nil, fmt.Errorf("no pod %s/%s on node %s: there is %s", namespace, pod, n.Node, strings.Join(others, ", "))
	case pod == "":
		return nil, errors.New("a pod is NAMESPACE/POD, or POD in the namespace default")
	}
	return nil, fmt.Errorf("no pod %s/%s on node %s: see its pods with: kedge bandwidth top; another node answers on a server to --node", namespace, pod, n.Node)
}

// WritePod prints all that is known of a pod.
func WritePod(w io.Writer, n snapshot.Node, p snapshot.Pod) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "Pod\t%s/%s\n", p.Namespace, p.Name)
	fmt.Fprintf(t, "Node\t%s\n", n.Node)
	if p.HostNetwork {
		fmt.Fprintf(t, "Network\tof the host\n")
	}
	fmt.Fprintf(t, "Priority\t%d (%s)\n", p.Priority, cmp.Or(p.PriorityFrom, "the usual one"))
	for _, problem := range slices.Concat(n.Trouble, texts(p.Problems)) {
		fmt.Fprintf(t, "Problem\t%s\n", problem)
	}
	fmt.Fprintf(t, "\nLIMITS\tDIRECTION\tMIN\tFROM\tMAX\tFROM\n")
	writeLimits(t, "pod", p.Limits)
	for _, c := range p.Containers {
		writeLimits(t, c.Name, c.Limits)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return writeClasses(w, p)
}

func texts(problems []snapshot.Problem) []string {
	var out []string
	for _, p := range problems {
		out = append(out, p.Reason+": "+p.Message)
	}
	return out
}

func writeLimits(w io.Writer, name string, limits snapshot.Both[snapshot.Limit]) {
	for _, d := range model.Directions {
		l := limits.At(d)
		low := rate(l.Min)
		if name == "pod" && l.Min > 0 && l.Granted < l.Min {
			low += " (refused; has " + rate(l.Granted) + ")"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", name, d, low, cmp.Or(l.MinFrom, "-"), rate(l.Max), cmp.Or(l.MaxFrom, "-"))
	}
}

func rate(r bitrate.Rate) string {
	if r == 0 {
		return "-"
	}
	return r.Human()
}

func writeClasses(w io.Writer, p snapshot.Pod) error {
	if len(p.Classes) == 0 && len(p.Containers) == 0 {
		_, err := fmt.Fprintf(w, "\nIts traffic passes by: it has no ceiling and the rate of the uplink is not known.\n")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\nTRAFFIC\tDIRECTION\tUPLINK\tCLASS\tSURE\tAT MOST\tBYTES\tPACKETS\tDROPS\tOVERLIMITS\tBACKLOG\tQUEUE\tFOUND BY\n")
	writeTraffic(t, "pod", "", p.Classes)
	for _, c := range p.Containers {
		writeTraffic(t, c.Name, c.Attribution, c.Classes)
	}
	writeTraffic(t, "rest", "", p.Rest)
	return t.Flush()
}

func writeTraffic(w io.Writer, name, attribution string, classes []snapshot.Class) {
	for _, c := range classes {
		uplink := cmp.Or(c.Uplink, "-")
		if c.Local {
			uplink = "(stays on the node)"
		}
		queue := "-"
		if c.Queue > 0 {
			queue = size(uint64(c.Queue))
		}
		k := c.Counters
		fmt.Fprintf(w, "%s\t%s\t%s\t%s %s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\n", name, c.Direction, uplink, c.Device, c.Handle,
			c.Rate.Human(), c.Ceil.Human(), size(k.Bytes), k.Packets, k.Drops, k.Overlimits, size(k.Backlog), queue, cmp.Or(attribution, "-"))
	}
}

func size(n uint64) string { return units.HumanSizeWithPrecision(float64(n), 3) }
