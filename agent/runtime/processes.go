package runtime

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/containerd/containerd/api/events"
	"github.com/containerd/typeurl/v2"

	"github.com/kedge-io/kedge/agent/runtime/pods"
	"github.com/kedge-io/kedge/internal/lifecycle"
)

// followProcesses keeps a subscription to containerd's events of processes that
// are added to containers.
func (h *Hooks) followProcesses(ctx context.Context) {
	for {
		if err := h.subscribeProcesses(ctx); ctx.Err() == nil {
			h.log.Debug("events of containerd ended, subscribing again", "error", err)
		}
		if !lifecycle.Pause(ctx, hooksBackoffMax/2+rand.N(hooksBackoffMax/2)) {
			return
		}
	}
}

func (h *Hooks) subscribeProcesses(ctx context.Context) error {
	client, err := h.cfg.dial()
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	envelopes, errs := client.EventService().Subscribe(ctx,
		fmt.Sprintf(`namespace==%s,topic=="/tasks/exec-started"`, Namespace))
	for {
		select {
		case e, ok := <-envelopes:
			if !ok {
				return errors.New("containerd ended the events")
			}
			v, err := typeurl.UnmarshalAny(e.Event)
			if started, ok := v.(*events.TaskExecStarted); ok && err == nil {
				h.observer.Observe(ctx, pods.Event{Kind: pods.ProcessAdded,
					Container: pods.Container{ID: started.GetContainerID(), Pid: int(started.GetPid())}})
			}
		case err := <-errs:
			return err
		}
	}
}
