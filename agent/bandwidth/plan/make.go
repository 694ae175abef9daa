package plan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// Make plans for a node, given what the previous plan was assigned. The same
// arguments give the same plan; the order of pods and containers does not
// matter. Guarantees count on the first uplink only.
func Make(node model.Node, prev Assignment) (Plan, Assignment, []Refusal) {
	m := &maker{assign: newAssigner(prev), pods: sorted(node.Pods)}
	for _, p := range m.pods {
		m.assign.number(p)
	}
	var out Plan
	for i, u := range node.Uplinks {
		if i == 0 {
			m.promise(u, model.Egress)
			m.promise(u, model.Ingress)
		}
		out.Uplinks = append(out.Uplinks, m.uplink(i, u, node))
	}
	return out, m.assign.next, m.refusals
}

// maker makes one plan.
type maker struct {
	assign   *assigner
	pods     []model.Pod
	refusals []Refusal
}

// sorted returns copies, so that the caller's stay as they are.
func sorted(pods []model.Pod) []model.Pod {
	out := slices.Clone(pods)
	slices.SortFunc(out, func(a, b model.Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
	})
	for i := range out {
		out[i].Containers = slices.Clone(out[i].Containers)
		slices.SortFunc(out[i].Containers, func(a, b model.Container) int {
			return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
		})
	}
	return out
}

func (m *maker) uplink(i int, u model.Uplink, node model.Node) Uplink {
	out := Uplink{Device: u.Device, Index: u.Index, Only: i == 0, Reserve: reserve(node.Reserve), Local: slices.Clone(node.Local), Services: slices.Clone(node.Services)}
	targets := make([]targets, len(m.pods))
	for _, d := range model.Directions {
		t := m.newTree(u, d, i)
		for j, p := range m.pods {
			m.pod(t, p, d, i == 0, &targets[j])
		}
		out.Trees[d] = t.Tree
	}
	for j, p := range m.pods {
		m.entries(&out, p, targets[j])
	}
	return out
}

// DeviceName is the name of the IFB device of an uplink, counted from 0.
func DeviceName(uplink int, d model.Direction) string {
	if d == model.Egress {
		return fmt.Sprintf("kedge-out%d", uplink)
	}
	return fmt.Sprintf("kedge-in%d", uplink)
}

// tree is one under construction.
type tree struct {
	Tree
	root, floor bitrate.Rate
}

func (m *maker) newTree(u model.Uplink, d model.Direction, i int) *tree {
	root := Root(u.Rates[d])
	t := &tree{Tree: Tree{Device: DeviceName(i, d), Open: u.Rates[d] == 0}, root: root, floor: floor(root, len(m.pods))}
	quantum := Quantum(root, 1)
	t.inner(Class{Minor: MinorRoot, Owner: "root", Rate: root, Ceil: root, Quantum: quantum})
	reserve := Reserve(u, d)
	names := whole(reserve.Part(namesShare, 100))
	t.leaf(Class{Minor: MinorControl, Parent: MinorRoot, Owner: "control", Rate: reserve - names, Ceil: root, Quantum: quantum})
	t.leaf(Class{Minor: MinorNames, Parent: MinorRoot, Owner: "names", Rate: names, Ceil: reserve, Quantum: quantum})
	// Host processes borrow like a pod of which nobody says anything: a large
	// image must not take all that is free.
	t.leaf(Class{Minor: MinorHost, Parent: MinorRoot, Owner: "host", Rate: hostRate(root), Ceil: root,
		Priority: htbPriority(model.DefaultPriority), Quantum: quantum})
	return t
}

// htbPriority turns kedge's order around: 1 for the highest to 7. 0 is left to
// control and names.
func htbPriority(p model.Priority) uint8 { return uint8(7 - min(p, model.MaxPriority)) }

func (t *tree) inner(c Class) {
	c.Rate, c.Ceil = whole(c.Rate), whole(c.Ceil)
	c.Burst, c.Cburst = Burst(c.Rate), Burst(c.Ceil)
	t.Classes = append(t.Classes, c)
}

func (t *tree) leaf(c Class) {
	c.Queue = Queue(c.Ceil)
	t.inner(c)
}
