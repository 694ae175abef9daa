package plan

import (
	"fmt"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// targets are where a pod's traffic goes: its own, and that of each container
// which has a class in some tree.
type targets struct {
	pod Target
	// containers by name; what a container has no class of its own for is that
	// of the pod.
	containers map[string]*Target
}

func (t *targets) container(name string) *Target {
	if t.containers == nil {
		t.containers = map[string]*Target{}
	}
	if t.containers[name] == nil {
		t.containers[name] = &Target{}
	}
	return t.containers[name]
}

// pod adds the classes of a pod to a tree: one leaf, or a class with leaves for
// the containers that have limits and one for the rest.
func (m *maker) pod(t *tree, p model.Pod, d model.Direction, first bool, to *targets) {
	if t.Open && !p.Limited(d) {
		return // nothing to hold it to: it does not even pass the tree
	}
	kids := limited(p.Containers, d, false)
	minors, ok := m.minors(kids, leafKey(p.UID), restKey(p.UID), func(name string) string { return containerKey(p.UID, name) })
	if !ok {
		m.refuse(noClassLeft(t, p, d))
		to.pod.Class[d] = MinorHost
		return
	}
	ceil := below(p.Limits[d].Max, t.root)
	rate := t.floor
	if first && !t.Open {
		rate += m.granted(p, d)
	}
	g := group{
		uid: p.UID, name: p.Namespace + "/" + p.Name, parent: MinorRoot, rate: min(rate, ceil), ceil: ceil,
		priority: htbPriority(p.Priority), kids: kids, minors: minors, turn: t.root,
	}
	to.pod.Class[d] = t.group(g, d)
	for i, c := range kids {
		to.container(c.Name).Class[d] = minors.kids[i]
	}
	if p.Limits[d].Max > 0 || len(limited(p.Containers, d, true)) > 0 {
		m.local(t, p, d, to)
	}
}

// local adds the classes for what does not leave the node, which stand beside
// the root: a ceiling holds there too, but no guarantee is used up.
func (m *maker) local(t *tree, p model.Pod, d model.Direction, to *targets) {
	if p.HostNetwork {
		return // what it sends to this node passes neither an uplink nor a veth of its own
	}
	kids := limited(p.Containers, d, true)
	minors, ok := m.minors(kids, localKey(p.UID), localRestKey(p.UID), func(name string) string { return localContainerKey(p.UID, name) })
	if !ok {
		m.refuse(noClassLeft(t, p, d))
		return
	}
	name := p.Namespace + "/" + p.Name
	if ceil := p.Limits[d].Max; ceil > 0 {
		ceil = below(ceil, openRate)
		to.pod.Local[d] = t.group(group{
			prefix: "local ", uid: p.UID, name: name, rate: ceil, ceil: ceil, priority: htbPriority(p.Priority), kids: kids, minors: minors, turn: ceil,
		}, d)
	} else {
		for i, c := range kids {
			ceil := below(c.Limits[d].Max, openRate)
			t.leaf(Class{Minor: minors.kids[i], Owner: "local container " + name + "/" + c.Name, UID: p.UID, Rate: ceil, Ceil: ceil,
				Priority: htbPriority(p.Priority), Quantum: Quantum(ceil, 1)})
		}
	}
	for i, c := range kids {
		to.container(c.Name).Local[d] = minors.kids[i]
	}
}

// limited are the containers with limits in a direction, or only those with a
// ceiling; one for each name, as one that ends and its successor share a class.
func limited(all []model.Container, d model.Direction, ceiling bool) []model.Container {
	var out []model.Container
	for _, c := range all {
		if len(out) > 0 && out[len(out)-1].Name == c.Name { // they are sorted
			continue
		}
		if c.Limits[d].Max > 0 || (c.Limits[d].Min > 0 && !ceiling) {
			out = append(out, c)
		}
	}
	return out
}

// minors are those of a pod's classes in one tree.
type minors struct {
	pod, rest uint16
	kids      []uint16
}

func (m *maker) minors(kids []model.Container, pod, rest string, kid func(name string) string) (minors, bool) {
	var out minors
	var ok bool
	if out.pod, ok = m.assign.minor(pod); !ok || len(kids) == 0 {
		return out, ok
	}
	if out.rest, ok = m.assign.minor(rest); !ok {
		return out, false
	}
	for _, c := range kids {
		minor, ok := m.assign.minor(kid(c.Name))
		if !ok {
			return out, false
		}
		out.kids = append(out.kids, minor)
	}
	return out, true
}

// group is a pod's part of a tree.
type group struct {
	prefix, uid, name string
	parent            uint16
	rate, ceil        bitrate.Rate
	priority          uint8
	kids              []model.Container
	minors            minors
	// turn is the ceiling of what its classes borrow from.
	turn bitrate.Rate
}

// group adds the classes of g and returns the leaf for what no container sent.
func (t *tree) group(g group, d model.Direction) uint16 {
	pod := Class{Minor: g.minors.pod, Parent: g.parent, Owner: g.prefix + "pod " + g.name, UID: g.uid, Rate: g.rate, Ceil: g.ceil,
		Priority: g.priority, Quantum: Quantum(g.turn, 1)}
	if len(g.kids) == 0 {
		t.leaf(pod)
		return pod.Minor
	}
	pod.Minor++
	t.inner(pod)
	rates := spread(whole(g.rate), g.kids, d, g.prefix == "")
	quantum := Quantum(g.turn, len(g.kids))
	for i, c := range g.kids {
		ceil := below(c.Limits[d].Max, g.ceil)
		t.leaf(Class{Minor: g.minors.kids[i], Parent: pod.Minor, Owner: g.prefix + "container " + g.name + "/" + c.Name, UID: g.uid,
			Rate: min(rates[i], ceil), Ceil: ceil, Priority: g.priority, Quantum: quantum})
	}
	t.leaf(Class{Minor: g.minors.rest, Parent: pod.Minor, Owner: g.prefix + "rest " + g.name, UID: g.uid,
		Rate: rates[len(g.kids)], Ceil: g.ceil, Priority: g.priority, Quantum: quantum})
	return g.minors.rest
}

// spread divides a pod's rate among its containers and, last, the rest: each
// gets its guarantee, and those without one share what is left equally. At least
// a thousandth is left for each of them; guarantees that do not fit into the rest
// become smaller in proportion.
func spread(rate bitrate.Rate, kids []model.Container, d model.Direction, guarantees bool) []bitrate.Rate {
	out := make([]bitrate.Rate, len(kids)+1)
	var sum bitrate.Rate
	without := bitrate.Rate(len(out))
	for i, c := range kids {
		if guarantees && c.Limits[d].Min > 0 {
			out[i] = c.Limits[d].Min
			sum += out[i]
			without--
		}
	}
	share := max(rate/1000, minRate)
	room := rate - min(rate, share*without)
	if sum < room {
		share = (rate - sum) / without
	}
	for i := range out {
		switch {
		case out[i] == 0:
			out[i] = share
		case sum > room:
			out[i] = room.Part(uint64(out[i]), uint64(sum))
		}
	}
	return out
}

// below is a ceiling bounded by that above it; 0 is none of its own.
func below(ceil, above bitrate.Rate) bitrate.Rate {
	if ceil == 0 {
		return above
	}
	return min(ceil, above)
}

func noClassLeft(t *tree, p model.Pod, d model.Direction) Refusal {
	return Refusal{
		UID: p.UID, Namespace: p.Namespace, Name: p.Name, Direction: d, Reason: v1alpha1.ReasonKernel,
		Message: fmt.Sprintf("%s: %s has all %d classes in use; the pod shares that of host processes", d, t.Device, (lastMinor-int(MinorFirst))/step+1),
	}
}
