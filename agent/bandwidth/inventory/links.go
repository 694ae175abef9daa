package inventory

import (
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// subscribeAfter is the pause before a subscription that ended is made anew.
const subscribeAfter = 100 * time.Millisecond

// subscribe asks the kernel for changes of links until done is closed. The
// channel is closed when the subscription ended, which also happens when
// changes came faster than they were read.
func (k *kernel) subscribe(done <-chan struct{}) (<-chan netlink.LinkUpdate, error) {
	updates := make(chan netlink.LinkUpdate, 64)
	err := netlink.LinkSubscribeWithOptions(updates, done, netlink.LinkSubscribeOptions{
		Namespace:     &k.ns,
		ErrorCallback: func(error) {}, // the channel is closed then
	})
	return updates, err
}

func (k *kernel) watch(vanished func(link int)) (func(), error) {
	if k.err != nil {
		return nil, k.err
	}
	done, ended := make(chan struct{}), make(chan struct{})
	updates, err := k.subscribe(done)
	if err != nil {
		return nil, fmt.Errorf("follow links: %w", err)
	}
	go func() {
		defer close(ended)
		k.follow(updates, done, vanished)
	}()
	return func() {
		close(done)
		<-ended
	}, nil
}

// follow tells what vanishes, over one subscription after the other.
func (k *kernel) follow(updates <-chan netlink.LinkUpdate, done <-chan struct{}, vanished func(link int)) {
	for {
		for u := range updates {
			if u.Header.Type == unix.RTM_DELLINK {
				vanished(int(u.Index))
			}
		}
		again := time.NewTimer(subscribeAfter)
		select {
		case <-done:
			again.Stop()
			return
		case <-again.C:
		}
		if fresh, err := k.subscribe(done); err == nil {
			updates = fresh
			vanished(0) // what came in between was not told
		}
	}
}
