package apply

import (
	"context"
	"fmt"
	"time"

	"github.com/kedge-io/kedge/edgefw/apply/notice"
)

// Watch makes the last wish anew whenever somebody changes or flushes what is
// ours, until ctx ends, and calls changed after each time. With rules of others
// it does nothing. While nothing is enforced it does not even look: the kernel
// makes tables of the legacy variant for whoever asks about them.
func (k *Kernel) Watch(ctx context.Context, changed func()) error {
	for ctx.Err() == nil {
		enforcing, turned := k.enforcing()
		if enforcing {
			if err := k.watch(ctx, turned, changed); err != nil {
				return err
			}
			continue
		}
		select {
		case <-ctx.Done():
		case <-turned:
		}
	}
	return nil
}

// watch watches until turned is closed.
func (k *Kernel) watch(ctx context.Context, turned <-chan struct{}, changed func()) error {
	watcher, err := notice.Open(notice.Config{
		Legacy: k.families[0].program.variant == Legacy,
		Tables: []string{"mangle", "filter"},
		// Four questions of a microsecond each; the rest of the second is for the
		// programs that make the rules anew, on a busy machine.
		Interval: 150 * time.Millisecond,
	})
	if err != nil {
		return fmt.Errorf("watching the rules of iptables: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		select {
		case <-ctx.Done():
		case <-turned:
		}
	}()
	k.setWatcher(watcher)
	defer k.setWatcher(nil)
	if k.repair(ctx) { // what happened before the watcher was there
		changed()
	}
	return watcher.Run(ctx, func([]notice.Change) {
		if k.repair(ctx) {
			changed()
		}
	})
}

// enforcing tells whether there is anything, and returns what is closed when that
// turns into the opposite.
func (k *Kernel) enforcing() (bool, <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.enforces, k.turned
}

// turn tells Watch what is so now.
func (k *Kernel) turn(enforces bool) {
	if k.enforces != enforces {
		k.enforces = enforces
		close(k.turned)
		k.turned = make(chan struct{})
	}
}

func (k *Kernel) setWatcher(w *notice.Watcher) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.watcher = w
}

// repair tells whether there was something to make anew.
func (k *Kernel) repair(ctx context.Context) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.wish == nil {
		return false
	}
	result, err := k.apply(ctx, *k.wish)
	if err != nil {
		if ctx.Err() == nil {
			k.cfg.Log.Error("making the firewall anew after others changed it", "error", err)
		}
		return true
	}
	return result.Way != Nothing
}

// own runs what changes rules, so that Watch does not hear of it.
func (k *Kernel) own(change func() error) error {
	if k.watcher == nil {
		return change()
	}
	return k.watcher.Own(change)
}
