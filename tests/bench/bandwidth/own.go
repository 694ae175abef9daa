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
}

func (o *own) begin() error {
	if o.kernel != nil {
		return nil
	}
	uplink, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	abilities, err := classify.Probe()
	if err != nil {
		return err
	}
	o.kernel = shape.New(slog.New(slog.DiscardHandler), classifier{abilities})
	o.node = model.Node{Uplinks: []model.Uplink{{Device: uplink.Name, Index: uplink.Index, Rates: [2]bitrate.Rate{40 * bitrate.Gbit, 40 * bitrate.Gbit}}}}
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
		veth, err := net.InterfaceByName(name(i))
		if err != nil {
			return err
		}
		_, addr := addresses(i)
		pod := model.Pod{
			UID: name(i), Namespace: "default", Name: name(i), Link: veth.Index, NetnsID: -1,
			Addr: netip.MustParseAddr(addr), Priority: model.DefaultPriority, Limits: ceilings(mbit),
		}
		o.node.Pods = append(o.node.Pods, pod)
		return o.apply()
	})
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

// classifier is the package classify as shape wants it.
type classifier struct{ abilities classify.Abilities }

func (c classifier) Load() (shape.Set, error) {
	s, err := classify.Load(c.abilities)
	return set{s}, err
}

func (c classifier) Adopt(programs []uint32) (shape.Set, error) {
	s, err := classify.Adopt(c.abilities, programs...)
	return set{s}, err
}

type set struct{ *classify.Set }

func (s set) Program(h shape.Hook) (fd int, id uint32) {
	of := [...]classify.Hook{
		shape.PodEgress: classify.PodEgress, shape.PodIngress: classify.PodIngress,
		shape.HostEgress: classify.HostEgress, shape.HostIngress: classify.HostIngress,
	}[h]
	return s.FD(of), s.ID(of)
}

func (s set) Close() error {
	s.Set.Close()
	return nil
}
