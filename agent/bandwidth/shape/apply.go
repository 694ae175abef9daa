package shape

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/kedge-io/kedge/agent/bandwidth/plan"
)

// applying is one Apply.
type applying struct {
	ctx     context.Context
	log     *slog.Logger
	conn    *conn
	plan    plan.Plan
	have    *kernelState
	want    State
	changes int
	again   bool
}

// run is the order that [Kernel.Apply] promises.
func (a *applying) run(k *Kernel) error {
	problems := []error{a.growTrees()}
	problems = append(problems, a.classify(k))
	problems = append(problems, a.removeFilters())
	if errors.Join(problems...) == nil { // else filters or tables may still lead there
		problems = append(problems, a.shrinkTrees(), a.removeDevices())
	}
	return errors.Join(problems...)
}

// send works off messages. Errors about links that are gone are none.
func (a *applying) send(messages []message) error {
	var problems []error
	failed := a.conn.send(messages)
	a.changes += len(messages) - len(failed)
	for i, m := range messages {
		err := failed[i]
		if err == nil {
			continue
		}
		if gone(err) || !a.have.there(m.device) {
			a.log.Debug("link is gone", "link", m.device, "change", m.what)
			continue
		}
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// growTrees makes all classes that are wanted. A tree that cannot be had is taken
// out of the wish with all filters that lead to it: a redirection to a device
// that is not there would drop the packets.
func (a *applying) growTrees() error {
	var problems []error
	for _, want := range slices.Clone(a.want.Devices) {
		if err := a.growTree(want); err != nil {
			problems = append(problems, fmt.Errorf("shaping on %s: %w", want.Name, err))
			a.want.Devices = slices.DeleteFunc(a.want.Devices, func(d Device) bool { return d.Name == want.Name })
			a.want.Hooks = slices.DeleteFunc(a.want.Hooks, func(f Filter) bool { return f.To == want.Name })
		}
	}
	return errors.Join(problems...)
}

func (a *applying) growTree(want Device) error {
	have := a.have.trees[want.Name]
	d, changes, err := ensureDevice(have.link, want.Name, aliasOf(a.plan, want.Name))
	if err != nil {
		return err
	}
	a.changes += changes
	have.link = d
	a.have.trees[want.Name], a.have.links[d.index] = have, d
	err = a.send(grow(have, want))
	if err != nil && have.ours {
		err = a.rebuild(have, want, err)
	}
	return err
}

// openUp removes filters that lead to no device, after the kernel has lost what
// is needed for shaping: packets pass unshaped.
func (a *applying) openUp() error {
	for _, f := range a.have.filters {
		if _, there := a.have.links[f.to]; there {
			a.want.Hooks = append(a.want.Hooks, f.Filter)
		}
	}
	return a.removeFilters()
}

// rebuild makes a tree anew that could not be changed into what is wanted, for
// instance since somebody else has built in it. What waits in it is lost.
func (a *applying) rebuild(have tree, want Device, reason error) error {
	a.log.Warn("tree is built anew", "device", want.Name, "reason", reason)
	return a.send(append([]message{removeTree(have.link)}, grow(tree{link: have.link}, want)...))
}

// classify brings tables, then filters, of each uplink.
func (a *applying) classify(k *Kernel) error {
	var problems []error
	for i, u := range a.plan.Uplinks {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		set, err := k.set(u.Trees[0].Device, a.attached(i))
		if err == nil {
			err = set.Update(u)
		}
		if err == nil {
			err = errors.Join(a.clsact(u), a.hook(i, set))
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("uplink %s: %w", u.Device, err))
		}
	}
	return errors.Join(problems...)
}

// attached are the programs of our filters for an uplink, each once.
func (a *applying) attached(uplink int) []uint32 {
	var ids []uint32
	seen := map[uint32]bool{}
	for _, f := range a.have.filters {
		if f.Uplink == uplink && !seen[f.program] {
			seen[f.program] = true
			ids = append(ids, f.program)
		}
	}
	return ids
}

// clsact makes the place for filters on all pods' links, also of pods that need
// none now, and on the uplink if it needs some: see [addClsact].
func (a *applying) clsact(u plan.Uplink) error {
	var links []int
	for _, p := range u.Pods {
		links = append(links, p.Link)
	}
	for _, f := range a.want.Hooks {
		links = append(links, f.Link)
	}
	var out []message
	var taken []error
	for _, index := range links {
		d, there := a.have.links[index]
		switch {
		case !there || a.have.clsact[index]:
		case a.have.ingress[index]:
			taken = append(taken, fmt.Errorf("link %s has a foreign ingress queueing discipline, beside which there is no room for clsact: run \"tc qdisc del dev %s ingress\" and let its owner use clsact", d.name, d.name))
			a.want.Hooks = slices.DeleteFunc(a.want.Hooks, func(f Filter) bool { return f.Link == index })
			a.have.clsact[index] = true
		default:
			out = append(out, addClsact(index)...)
			a.have.clsact[index] = true
		}
	}
	if err := a.send(out); err != nil {
		return errors.Join(append(taken, fmt.Errorf("preparing links for filters: %w", err))...)
	}
	return errors.Join(taken...)
}

// hook attaches the filters of an uplink that are missing or not right.
func (a *applying) hook(uplink int, set Set) error {
	var out []message
	for _, f := range a.want.Hooks {
		if f.Uplink != uplink {
			continue
		}
		fd, id := set.Program(f.Hook)
		to := a.have.trees[f.To].index
		if old, there := a.have.filters[f.key()]; !there || old.program != id || old.to != to {
			out = append(out, setFilter(f, fd, to))
		}
	}
	if err := a.send(out); err != nil {
		return fmt.Errorf("attaching filters: %w", err)
	}
	return nil
}

// removeFilters takes away filters that are not wanted. If nothing is wanted, the
// clsacts that we made go as well unless others use them.
func (a *applying) removeFilters() error {
	wanted := map[Filter]bool{}
	for _, f := range a.want.Hooks {
		wanted[f.key()] = true
	}
	var out []message
	for key, f := range a.have.filters {
		if !wanted[key] {
			out = append(out, removeFilter(f))
		}
	}
	for index, marked := range a.have.marked {
		if marked && len(a.plan.Uplinks) == 0 {
			out = append(out, leave(index, a.have.shared[index]))
		}
	}
	if err := a.send(out); err != nil {
		return fmt.Errorf("removing filters: %w", err)
	}
	return nil
}

func (a *applying) removeDevices() error {
	var problems []error
	for name, t := range a.have.trees {
		if _, wanted := a.want.deviceNamed(name); wanted {
			continue
		}
		a.changes++
		problems = append(problems, removeDevice(t.link))
	}
	return errors.Join(problems...)
}
