package chance

import (
	"maps"
	"slices"

	"github.com/kedge-io/kedge/edgefw/model"
)

// Change is a world in which one thing is different, made as its owner would:
// nothing of the former one is written to.
func (c Chance) Change(w World) World {
	w.Firewalls = slices.Clone(w.Firewalls)
	w.Inventory.Nodes, w.Inventory.Balanced = slices.Clone(w.Inventory.Nodes), slices.Clone(w.Inventory.Balanced)
	w.Inventory.AddressSets = maps.Clone(w.Inventory.AddressSets)
	switch c.IntN(4) {
	case 0:
		c.changeNodes(&w)
	case 1:
		c.changeSets(&w)
	case 2:
		c.changeFirewalls(&w)
	default:
		c.changeRest(&w)
	}
	return w
}

// changeNodes lets one roam, come, go, be made anew or get another label.
func (c Chance) changeNodes(w *World) {
	inv := &w.Inventory
	one := c.IntN(len(inv.Nodes))
	switch c.IntN(4) {
	case 0:
		inv.Nodes[one].Public = Many(c, 2, c.Addr)
	case 1:
		inv.Nodes[one].Labels = map[string]string{"pool": Pick(c, "a", "b", "c")}
	case 2:
		if len(inv.Nodes) > 1 {
			inv.Nodes = slices.Delete(inv.Nodes, one, one+1)
		}
	default:
		n := c.IntN(12)
		inv.Nodes = slices.DeleteFunc(inv.Nodes, func(node model.Node) bool { return node.Name == Name("n", n) })
		inv.Nodes = append(inv.Nodes, c.Node(n))
	}
}

// changeSets changes one or deletes one; most changes are of one entry.
func (c Chance) changeSets(w *World) {
	name := Pick(c, "x", "y")
	set := model.AddressSet{Name: name, Prefixes: slices.Clone(w.Inventory.AddressSets[name].Prefixes)}
	switch n := c.IntN(6); {
	case n == 0:
		delete(w.Inventory.AddressSets, name)
		return
	case n == 1:
		set.Prefixes = Many(c, 12, c.Prefix)
	case n < 4 && len(set.Prefixes) > 0:
		set.Prefixes = slices.Delete(set.Prefixes, 0, 1)
	default:
		set.Prefixes = append(set.Prefixes, c.Prefix())
	}
	w.Inventory.AddressSets[name] = set
}

// changeFirewalls writes one, also under the name of one that is deleted, changes
// a part of one, or lets one select others.
func (c Chance) changeFirewalls(w *World) {
	f := &w.Firewalls[c.IntN(len(w.Firewalls))]
	switch c.IntN(6) {
	case 0:
		f.Priority, f.Nodes = int32(c.IntN(3)), c.Selector()
	case 1:
		f.Egress.Rules = c.Rules()
	case 2:
		f.Ingress.Default = Pick(c, model.Pass, model.Allow, model.Deny)
	case 3:
		f.OnChange = Pick(c, model.Keep, model.Cut)
	default:
		n := c.IntN(6)
		w.Firewalls = slices.DeleteFunc(w.Firewalls, func(f model.Firewall) bool { return f.Name == Name("f", n) })
		w.Firewalls = append(w.Firewalls, c.Firewall(n))
	}
}

// changeRest writes a service, or lets others join.
func (c Chance) changeRest(w *World) {
	if c.One(2) {
		w.Known = Many(c, 2, c.Addr)
		return
	}
	n, inv := c.IntN(3), &w.Inventory
	inv.Balanced = slices.DeleteFunc(inv.Balanced, func(b model.Balanced) bool { return b.Name == "default/"+Name("s", n) })
	inv.Balanced = append(inv.Balanced, c.Balanced(n))
}
