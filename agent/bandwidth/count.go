package bandwidth

import (
	"fmt"
	"slices"
	"time"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/plan"
	"github.com/kedge-io/kedge/agent/bandwidth/shape"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// classID finds a class of the node.
type classID struct {
	uplink    int
	direction model.Direction
	minor     uint16
}

// counted are the counters of the look before.
type counted struct {
	at      time.Time
	classes map[classID]shape.Counter
}

// ceiling is one that a pod or a container of it has.
type ceiling struct {
	pod       int // its place in the node
	container string
	direction model.Direction
	max       bitrate.Rate
}

// count looks for what is held back for long, every [lookAfter].
func (b *Bandwidth) count(now *applied) {
	if time.Since(b.counted.at) < lookAfter {
		return
	}
	ceilings := now.ceilings()
	if len(ceilings) == 0 {
		b.counted, b.patience = counted{}, patience{}
		return
	}
	counters, err := b.parts.Kernel.Counters()
	if err != nil {
		b.log.Debug("classes not counted", "error", err)
		return
	}
	next := counted{at: time.Now(), classes: byClass(now.plan, counters)}
	before := b.counted
	b.counted = next
	if before.at.IsZero() {
		return
	}
	lasted := next.at.Sub(before.at)
	var held []ceiling
	for _, key := range b.patience.look(next.at, lasted, loads(ceilings, before, next)) {
		held = append(held, ceilings[key].ceiling)
	}
	slices.SortFunc(held, func(a, b ceiling) int { return a.pod - b.pod })
	b.announceThrottled(now, held)
}

// heldClass is a ceiling and the class that has it.
type heldClass struct {
	ceiling
	class classID
}

// ceilings are all that pods and containers have on uplinks, by whose they are.
func (a *applied) ceilings() map[string]heldClass {
	owners := map[string]ceiling{}
	for i, p := range a.node.Pods {
		for _, d := range model.Directions {
			name := p.Namespace + "/" + p.Name
			if limit := p.Limits[d].Max; limit > 0 {
				owners[fmt.Sprint(d, " pod ", name)] = ceiling{i, "", d, limit}
			}
			for _, c := range p.Containers {
				if limit := c.Limits[d].Max; limit > 0 {
					owners[fmt.Sprint(d, " container ", name, "/", c.Name)] = ceiling{i, c.Name, d, limit}
				}
			}
		}
	}
	all := map[string]heldClass{}
	for u, uplink := range a.plan.Uplinks {
		for d, tree := range uplink.Trees {
			for _, c := range tree.Classes {
				direction := model.Directions[d]
				if owner, ok := owners[fmt.Sprint(direction, " ", c.Owner)]; ok {
					all[fmt.Sprint(u, direction, c.Owner)] = heldClass{owner, classID{u, direction, c.Minor}}
				}
			}
		}
	}
	return all
}

// loads are what classes with ceilings did between two looks. One that was made
// anew meanwhile is left out.
func loads(of map[string]heldClass, before, next counted) map[string]load {
	lasted := next.at.Sub(before.at).Seconds()
	all := map[string]load{}
	for key, c := range of {
		was, there := before.classes[c.class]
		is := next.classes[c.class]
		if !there || is.Bytes < was.Bytes || is.Drops < was.Drops || lasted <= 0 {
			continue
		}
		all[key] = load{
			rate: bitrate.Rate(float64(is.Bytes-was.Bytes) * 8 / lasted), ceil: c.max, drops: is.Drops - was.Drops,
		}
	}
	return all
}

// byClass are the counters by class. Queues are those of leaves: what happens
// there is counted for the classes above as well.
func byClass(p plan.Plan, counters []shape.Counter) map[classID]shape.Counter {
	all := map[classID]shape.Counter{}
	for _, c := range counters {
		all[classID{c.Uplink, c.Direction, c.Minor}] = c
	}
	for u, uplink := range p.Uplinks {
		for d, tree := range uplink.Trees {
			direction := model.Directions[d]
			// Children come after their parents.
			for _, class := range slices.Backward(tree.Classes) {
				parent := classID{u, direction, class.Parent}
				above, ok := all[parent]
				if class.Parent == 0 || !ok {
					continue
				}
				below := all[classID{u, direction, class.Minor}]
				above.Drops += below.Drops
				above.Backlog += below.Backlog
				all[parent] = above
			}
		}
	}
	return all
}
