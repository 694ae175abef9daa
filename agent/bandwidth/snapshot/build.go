package snapshot

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/plan"
	"github.com/kedge-io/kedge/agent/bandwidth/policy"
)

// Input is what a snapshot is made of.
type Input struct {
	Node        string
	Time        time.Time
	Attribution string
	Trouble     []string
	Model       model.Node
	Plan        plan.Plan
	Assignment  plan.Assignment
	Refusals    []plan.Refusal
	// Wanted and Problems are those of pods by UID.
	Wanted   map[string]policy.Wanted
	Problems map[string][]policy.Problem
	Counters []Counter
	Delays   *Delays
	Mended   uint64
}

// Counter is what the kernel counted for one class by itself.
type Counter struct {
	// Uplink is its place in the plan.
	Uplink    int
	Direction model.Direction
	Minor     uint16
	Counters
}

// Build puts together what is known of a node. It changes nothing of in.
func Build(in Input) Node {
	n := Node{Node: in.Node, Time: in.Time, Attribution: in.Attribution, Trouble: in.Trouble, Delays: in.Delays, Mended: in.Mended, Uplinks: []Uplink{}, Pods: []Pod{}}
	pods := map[string]*Pod{}
	for _, p := range in.Model.Pods {
		pods[p.UID] = in.pod(p)
	}
	for i, u := range in.Plan.Uplinks {
		up := Uplink{Device: u.Device, Index: u.Index}
		if i < len(in.Model.Uplinks) {
			up.Directions = in.lines(in.Model.Uplinks[i], i == 0)
		}
		for _, d := range model.Directions {
			for _, c := range in.classes(i, d) {
				own := c.snapshot(u, d)
				if p := pods[c.UID]; p != nil {
					p.add(c.Class, own)
				} else if c.UID == "" {
					up.Classes = append(up.Classes, own)
				}
			}
		}
		n.Uplinks = append(n.Uplinks, up)
		attribute(pods, u, in.Model)
	}
	for _, p := range pods {
		n.Pods = append(n.Pods, *p)
	}
	slices.SortFunc(n.Pods, func(a, b Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
	})
	return n
}

func (in Input) lines(u model.Uplink, first bool) Both[Line] {
	var out Both[Line]
	for _, d := range model.Directions {
		l := Line{Rate: u.Rates[d], Reserve: plan.Reserve(u, d)}
		if first {
			l.Capacity = plan.Capacity(u, d)
			for _, a := range in.Assignment.Pods {
				l.Promised += a.Granted[d]
			}
		}
		if l.Capacity == 0 {
			l.Promised = 0 // promises come back with the rate
		}
		*out.At(d) = l
	}
	return out
}

func (in Input) pod(p model.Pod) *Pod {
	w := in.Wanted[p.UID]
	out := &Pod{
		UID: p.UID, Namespace: p.Namespace, Name: p.Name, HostNetwork: p.HostNetwork,
		Priority: int(p.Priority), PriorityFrom: from(w, policy.PriorityField), Limits: limits(p.Limits, w, ""),
	}
	for _, d := range model.Directions {
		if len(in.Model.Uplinks) > 0 && in.Model.Uplinks[0].Rates[d] > 0 {
			out.Limits.At(d).Granted = in.Assignment.Pods[p.UID].Granted[d]
		}
	}
	for _, c := range p.Containers {
		if c.Limits != (model.Limits{}) {
			out.Containers = append(out.Containers, Container{Name: c.Name, Limits: limits(c.Limits, w, c.Name)})
		}
	}
	slices.SortFunc(out.Containers, func(a, b Container) int { return cmp.Compare(a.Name, b.Name) })
	for _, problem := range in.Problems[p.UID] {
		out.Problems = append(out.Problems, Problem{Reason: problem.Reason, Message: problem.Message})
	}
	for _, r := range in.Refusals {
		if r.UID == p.UID {
			out.Problems = append(out.Problems, Problem{Reason: r.Reason, Message: r.Message})
		}
	}
	return out
}

func limits(l model.Limits, w policy.Wanted, container string) Both[Limit] {
	var out Both[Limit]
	for _, d := range model.Directions {
		*out.At(d) = Limit{
			Min: l[d].Min, MinFrom: from(w, policy.Field{Container: container, Direction: d}.String()),
			Max: l[d].Max, MaxFrom: from(w, policy.Field{Container: container, Direction: d, Max: true}.String()),
		}
	}
	return out
}

func from(w policy.Wanted, field string) string {
	if s, ok := w.From[field]; ok {
		return s.String()
	}
	return ""
}

// counted is a class of a plan with its counters.
type counted struct {
	plan.Class
	counters Counters
}

// classes are those of a tree. The kernel counts drops and what waits at leaves
// only: here the classes above have them as well.
func (in Input) classes(uplink int, d model.Direction) []counted {
	tree := in.Plan.Uplinks[uplink].Trees[d]
	all := make([]counted, len(tree.Classes))
	place := map[uint16]int{}
	for i, c := range tree.Classes {
		all[i].Class = c
		place[c.Minor] = i
	}
	for _, c := range in.Counters {
		if i, ok := place[c.Minor]; ok && c.Uplink == uplink && c.Direction == d {
			all[i].counters = c.Counters
		}
	}
	return summed(all, place)
}

// summed adds what leaves count to all classes above them.
func summed(all []counted, place map[uint16]int) []counted {
	for _, leaf := range all {
		if leaf.Queue == 0 {
			continue
		}
		for parent := leaf.Parent; parent != 0; parent = all[place[parent]].Parent {
			above := &all[place[parent]].counters
			above.Drops += leaf.counters.Drops
			above.Backlog += leaf.counters.Backlog
		}
	}
	return all
}

func (c counted) snapshot(u plan.Uplink, d model.Direction) Class {
	return Class{
		Owner: c.Owner, Uplink: u.Device, Direction: d.String(), Local: strings.HasPrefix(c.Owner, "local "),
		Device: u.Trees[d].Device, Handle: plan.Handle(c.Minor), Rate: c.Rate, Ceil: c.Ceil, Queue: c.Queue, Counters: c.counters,
	}
}

// add files a class of the pod.
func (p *Pod) add(c plan.Class, own Class) {
	kind, name, _ := strings.Cut(strings.TrimPrefix(c.Owner, "local "), " ")
	switch kind {
	case "pod":
		p.Classes = append(p.Classes, own)
	case "rest":
		p.Rest = append(p.Rest, own)
	case "container":
		name = name[strings.LastIndexByte(name, '/')+1:]
		for i := range p.Containers {
			if p.Containers[i].Name == name {
				p.Containers[i].Classes = append(p.Containers[i].Classes, own)
			}
		}
	}
}

// attribute tells how the containers of pods are found on an uplink.
func attribute(pods map[string]*Pod, u plan.Uplink, node model.Node) {
	byCgroup, byPort := map[uint64]bool{}, map[model.Port]bool{}
	for _, e := range u.Containers {
		byCgroup[e.Cgroup] = true
	}
	for _, e := range u.Ports {
		byPort[e.Port] = true
	}
	for _, p := range node.Pods {
		for _, c := range p.Containers {
			i := slices.IndexFunc(pods[p.UID].Containers, func(s Container) bool { return s.Name == c.Name })
			switch {
			case i < 0:
			case c.Cgroup != 0 && byCgroup[c.Cgroup]:
				pods[p.UID].Containers[i].Attribution = "cgroup"
			case c.Cgroup == 0 && slices.ContainsFunc(c.Ports, func(port model.Port) bool { return byPort[port] }):
				pods[p.UID].Containers[i].Attribution = "ports"
			}
		}
	}
}
