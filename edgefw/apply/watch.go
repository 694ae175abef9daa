package apply

import (
	"context"
	"fmt"
	"time"

	"github.com/kedge-io/kedge/edgefw/apply/notice"
)

// Watch makes the last wish anew whenever somebody changes or flushes what is
// ours, until ctx ends, and calls changed after each time. With rules of others
// it does nothing.
func (k *Kernel) Watch(ctx context.Context, changed func()) error {
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
