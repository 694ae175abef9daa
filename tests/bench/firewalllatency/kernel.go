package main

import (
	"context"
	"time"

	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/internal/lifecycle"
)

// kernel takes its time and tells when it has a rule of the next step.
type kernel struct {
	name  string
	takes time.Duration
	out   *output
	has   string
}

// Apply implements edgefw.Kernel.
func (k *kernel) Apply(ctx context.Context, w apply.Wish) (apply.Result, error) {
	step := ""
	for _, r := range w.Ruleset.Host.Ingress.Rules {
		if s := newest(r.ID); s != "" {
			step = s
		}
	}
	if step == k.has {
		return apply.Result{Way: apply.Nothing}, nil
	}
	if !lifecycle.Pause(ctx, k.takes) {
		return apply.Result{}, ctx.Err()
	}
	k.has = step
	k.out.tell(step, k.name, time.Now())
	return apply.Result{Way: apply.Generation, Took: k.takes}, nil
}

// Counters implements edgefw.Kernel.
func (k *kernel) Counters() ([]apply.Counter, error) { return nil, nil }

// Cut implements edgefw.Kernel.
func (k *kernel) Cut(context.Context, func(model.Packet) bool) (int, error) { return 0, nil }

// Watch implements edgefw.Kernel.
func (k *kernel) Watch(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return ctx.Err()
}

// Observe implements edgefw.Kernel.
func (k *kernel) Observe(context.Context) (apply.Observation, error) {
	return apply.Observation{Equal: true}, nil
}

// Drops implements edgefw.Kernel.
func (k *kernel) Drops(ctx context.Context, _ func(apply.Drop)) error {
	<-ctx.Done()
	return ctx.Err()
}
