package plan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// Refusal is a wish that the plan does not fulfil. The pod runs all the same.
type Refusal struct {
	UID, Namespace, Name string
	// Uplink is the device on which the wish was, Direction its direction.
	Uplink    string
	Direction model.Direction
	// Reason is ReasonOverPromised, ReasonUplinkUnknown or ReasonKernel of package
	// v1alpha1, Message a sentence with the figures.
	Reason, Message string
	// Wanted and Granted are the guarantee asked for and that which holds.
	// Capacity is what the uplink can promise and Promised what others have.
	Wanted, Granted, Promised, Capacity bitrate.Rate
}

// promise decides all guarantees on the uplink: who has one keeps it, and the
// rest goes to those who have asked longest.
func (m *maker) promise(u model.Uplink, d model.Direction) {
	capacity := Capacity(u, d)
	order := slices.SortedFunc(slices.Values(m.pods), func(a, b model.Pod) int {
		return cmp.Compare(m.assign.next.Pods[a.UID].Number, m.assign.next.Pods[b.UID].Number)
	})
	if capacity == 0 {
		for _, p := range order {
			m.unknown(u, d, p)
		}
		return
	}
	free := capacity
	for _, p := range order {
		kept := min(m.assign.prev.Pods[p.UID].Granted[d], p.Guarantee(d))
		if kept > free {
			kept = 0
		}
		free -= kept
		m.grant(p, d, kept)
	}
	for _, p := range order {
		want, has := p.Guarantee(d), m.granted(p, d)
		if want-has > free {
			m.refuse(overPromised(u, d, p, want, has, capacity, capacity-free-has))
			continue
		}
		free -= want - has
		m.grant(p, d, want)
	}
}

// unknown refuses a guarantee for want of figures; what was granted comes back
// with them.
func (m *maker) unknown(u model.Uplink, d model.Direction, p model.Pod) {
	want := p.Guarantee(d)
	if want == 0 {
		m.grant(p, d, 0)
		return
	}
	m.refuse(Refusal{
		UID: p.UID, Namespace: p.Namespace, Name: p.Name, Uplink: u.Device, Direction: d, Reason: v1alpha1.ReasonUplinkUnknown, Wanted: want,
		Message: fmt.Sprintf("%s guarantee of %s: the rate of %s is not known; tell it with --uplink", d, want.Human(), cmp.Or(u.Device, "the uplink")),
	})
}

func overPromised(u model.Uplink, d model.Direction, p model.Pod, want, has, capacity, others bitrate.Rate) Refusal {
	text := fmt.Sprintf("%s guarantee of %s: %s can promise %s, others have %s of it, %s are left",
		d, want.Human(), cmp.Or(u.Device, "the uplink"), capacity.Human(), others.Human(), (capacity - others).Human())
	if has > 0 {
		text += fmt.Sprintf("; the pod keeps %s", has.Human())
	}
	return Refusal{
		UID: p.UID, Namespace: p.Namespace, Name: p.Name, Uplink: u.Device, Direction: d, Reason: v1alpha1.ReasonOverPromised, Message: text,
		Wanted: want, Granted: has, Promised: others, Capacity: capacity,
	}
}

func (m *maker) grant(p model.Pod, d model.Direction, r bitrate.Rate) {
	a := m.assign.next.Pods[p.UID]
	a.Granted[d] = r
	m.assign.next.Pods[p.UID] = a
}

func (m *maker) granted(p model.Pod, d model.Direction) bitrate.Rate {
	return m.assign.next.Pods[p.UID].Granted[d]
}

func (m *maker) refuse(r Refusal) { m.refusals = append(m.refusals, r) }
