package firewall

import (
	"context"
	"sync"
	"time"

	"github.com/kedge-io/kedge/internal/lifecycle"
)

// lookEvery is how often links are looked at for lanes that come from another
// address, and for addresses whose time is over.
const lookEvery = 5 * time.Second

// Component returns the component for a group. It is ready at once and waits for
// the definitions of its resources by itself.
func (f *Firewall) Component(needs ...string) lifecycle.Component {
	return lifecycle.Component{Name: Name, Needs: needs, Run: func(ctx context.Context, ready func()) error {
		ready()
		a, err := connect(f.cfg.Client, f.cfg.Policies)
		if err != nil {
			return err
		}
		if err := f.served(ctx, a); err != nil {
			return err
		}
		if err := f.register(); err != nil {
			return err
		}
		return f.run(ctx, a)
	}}
}

// run works until ctx ends or a feed fails. All that it started has ended when
// it returns.
func (f *Firewall) run(ctx context.Context, a api) error {
	ctx, stop := context.WithCancelCause(ctx)
	var parts sync.WaitGroup
	defer func() {
		stop(nil)
		f.annotations.ShutDown()
		parts.Wait()
		f.caches.running.Wait()
	}()
	f.ctx, f.api = ctx, a
	if err := f.watch(a); err != nil {
		return err
	}
	for _, feed := range f.cfg.Feeds {
		parts.Go(func() {
			if err := feed.Run(ctx); err != nil {
				stop(err)
			}
		})
	}
	if f.know(ctx) {
		defer f.running.Store(false)
		f.meet()
		for _, part := range []func(context.Context){f.keepAnnotations, f.statuses.run, f.lookAround} {
			parts.Go(func() { part(ctx) })
		}
		f.dist.Run(ctx, f.source)
	}
	return context.Cause(ctx)
}

// know returns once everything is known that rules are made of: rules that are
// made of half of it would close what is open. It is false if ctx ended.
func (f *Firewall) know(ctx context.Context) bool {
	if err := f.caches.start(ctx); err != nil {
		return false
	}
	for _, feed := range f.cfg.Feeds {
		select {
		case <-feed.Synced():
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// meet hands on who is connected already.
func (f *Firewall) meet() {
	f.dist.Above(f.highest())
	f.running.Store(true) // before the links are listed, so that none is missed
	for _, node := range f.cfg.Connected() {
		f.dist.Connected(node)
	}
	if f.cfg.OwnNode != "" {
		f.dist.Connected(f.cfg.OwnNode)
	}
	f.dist.Kick()
}

// lookAround notices what no one tells.
func (f *Firewall) lookAround(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if f.places.expire() {
			f.Kick()
			f.compareAll()
		}
	}
}
