package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"github.com/kedge-io/kedge/agent/bandwidth/classify"
	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/plan"
	"github.com/kedge-io/kedge/agent/bandwidth/shape"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// own is kedge's own way from a model to the kernel. Pods come, change and go one at a
// time, each with a plan and an application of its own, as they do on a node that starts
// them one after the other.
type own struct {
	kernel *shape.Kernel
	prev   plan.Assignment
	node   model.Node
	links  map[string]int // by name, looked up once: that is not part of shaping
}

func (o *own) begin() error {
	if o.kernel != nil {
		return nil
	}
	links, err := net.Interfaces()
	if err != nil {
		return err
	}
	o.links = map[string]int{}
	for _, l := range links {
		o.links[l.Name] = l.Index
	}
	abilities, err := classify.Probe()
	if err != nil {
		return err
	}
	o.kernel = shape.New(slog.New(slog.DiscardHandler), shape.Programs{Abilities: abilities})
	o.node = model.Node{Uplinks: []model.Uplink{{Device: "eth0", Index: o.links["eth0"], Rates: [2]bitrate.Rate{40 * bitrate.Gbit, 40 * bitrate.Gbit}}}}
	return o.apply()
}

func (o *own) apply() error {
	p, assigned, refused := plan.Make(o.node, o.prev)
	o.prev = assigned
	if len(refused) > 0 {
		return fmt.Errorf("refused: %v", refused)
	}
	_, err := o.kernel.Apply(context.Background(), p)
	return err
}

func (o *own) install(n, mbit int) error {
	if err := o.begin(); err != nil {
		return err
	}
	return each(n, func(i int) error {
		o.node.Pods = append(o.node.Pods, o.pod(i, mbit))
		return o.apply()
	})
}

// all is one plan for n pods.
func (o *own) all(n, mbit int) error {
	o.node.Pods = nil
	for i := range n {
		o.node.Pods = append(o.node.Pods, o.pod(i, mbit))
	}
	return o.apply()
}

func (o *own) pod(i, mbit int) model.Pod {
	_, addr := addresses(i)
	return model.Pod{
		UID: name(i), Namespace: "default", Name: name(i), Link: o.links[name(i)], NetnsID: -1,
		Addr: netip.MustParseAddr(addr), Priority: model.DefaultPriority, Limits: ceilings(mbit),
	}
}

func ceilings(mbit int) model.Limits {
	l := model.Limit{Max: bitrate.Rate(mbit) * bitrate.Mbit}
	return model.Limits{l, l}
}

func (o *own) change(_, mbit int) error {
	return each(len(o.node.Pods), func(i int) error {
		o.node.Pods[i].Limits = ceilings(mbit)
		return o.apply()
	})
}

// remove of a process that has not installed needs no state.
func (o *own) remove(int) error {
	if o.kernel == nil {
		return shape.Remove(context.Background())
	}
	for len(o.node.Pods) > 0 {
		o.node.Pods = o.node.Pods[:len(o.node.Pods)-1]
		if err := o.apply(); err != nil {
			return err
		}
	}
	return o.kernel.Remove(context.Background())
}
