package inventory

import (
	"context"
	"errors"
	"maps"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/agent/bandwidth/cgroup"
	"github.com/kedge-io/kedge/agent/runtime/pods"
)

// Synchronize replaces everything that was known. It does not wait for anybody:
// what runs has been shaped before, or cannot be helped.
func (i *Inventory) Synchronize(ctx context.Context, sandboxes []pods.Sandbox, containers []pods.Container) {
	fresh := map[string]*sandbox{}
	for _, p := range sandboxes {
		fresh[p.ID] = newSandbox(p)
	}
	var ids []string
	for _, c := range containers {
		s, ok := fresh[c.Sandbox]
		if !ok || c.Pid == 0 {
			continue // it has no process yet, or none any more
		}
		found := newContainer(c)
		found.cgroup, found.err = i.identify(ctx, c)
		s.containers[c.ID] = found
		ids = append(ids, c.ID)
	}
	for _, s := range fresh {
		if s.lives() {
			s.place, s.placeErr = i.kernel.locate(s.pod.NetNS, s.holder())
		}
	}
	if err := i.folders.Keep(ids); err != nil && !errors.Is(err, cgroup.ErrNone) {
		i.log.Warn("folders of former containers stay", "error", err)
	}
	i.mu.Lock()
	i.sandboxes = fresh
	i.change()
	i.mu.Unlock()
	notify(i.again)
}

// Observe takes in one event, and holds up the start of pods and containers
// until the change was applied.
func (i *Inventory) Observe(ctx context.Context, e pods.Event) {
	switch e.Kind {
	case pods.PodStarted:
		s := newSandbox(e.Pod)
		s.place, s.placeErr = i.kernel.locate(e.Pod.NetNS, e.Pod.Pid)
		i.apply(ctx, s.placeErr, func() { i.sandboxes[e.Pod.ID] = s })
	case pods.ContainerStarting:
		c := newContainer(e.Container)
		c.cgroup, c.err = i.identify(ctx, e.Container)
		i.apply(ctx, c.err, func() { i.addContainer(e.Pod, c) })
	case pods.ProcessAdded:
		i.addProcess(ctx, e.Container)
	case pods.PodStopped, pods.PodRemoved:
		i.alter(func() { delete(i.sandboxes, e.Pod.ID) })
	case pods.ContainerStopped, pods.ContainerRemoved:
		i.removeContainer(e.Container.ID)
	}
}

// alter makes a change and returns the revision to wait for, 0 for none.
func (i *Inventory) alter(change func()) uint64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	change()
	return i.change()
}

// apply makes a change and waits until it is in the kernel. With an error, which
// is of what the change is about, it is looked for again.
func (i *Inventory) apply(ctx context.Context, err error, change func()) {
	revision := i.alter(change)
	if err != nil {
		notify(i.again)
	}
	if revision > 0 && i.barrier.await(ctx, revision) {
		i.log.Warn("the runtime goes on before the kernel is ready, until that has caught up", "revision", revision)
	}
}

// addContainer also brings back a pod that is not known. i.mu is held.
func (i *Inventory) addContainer(pod pods.Sandbox, c *container) {
	s, ok := i.sandboxes[c.c.Sandbox]
	if !ok {
		s = newSandbox(pod)
		s.placeErr = errUnseen
		i.sandboxes[c.c.Sandbox] = s
		notify(i.again)
	}
	s.containers[c.c.ID] = c
}

func (i *Inventory) removeContainer(id string) {
	i.alter(func() {
		for _, s := range i.sandboxes {
			delete(s.containers, id)
		}
	})
	// Its last processes may still be ending: then a later sweep removes it.
	if err := i.folders.Drop(id); errors.Is(err, unix.EBUSY) {
		notify(i.again)
	} else if err != nil {
		i.log.Warn("folder of a container stays", "container", id, "error", err)
	}
}

// addProcess brings what was added to a container where its first process is.
func (i *Inventory) addProcess(ctx context.Context, c pods.Container) {
	if err := i.folders.Gather(ctx, cgroup.Container{ID: c.ID, Pid: c.Pid}); err != nil && !errors.Is(err, cgroup.ErrNone) {
		i.log.Warn("a process that was added to a container counts for its pod only", "container", c.ID, "error", err)
	}
}

// identify returns 0 where the kernel has no cgroup2, which is no trouble of
// this container.
func (i *Inventory) identify(ctx context.Context, c pods.Container) (uint64, error) {
	id, err := i.folders.Identify(ctx, cgroup.Container{ID: c.ID, Pid: c.Pid})
	if errors.Is(err, cgroup.ErrNone) {
		return 0, nil
	}
	return id, err
}

// known are the IDs of all containers. i.mu is held.
func (i *Inventory) known() []string {
	var ids []string
	for _, s := range i.sandboxes {
		ids = slices.AppendSeq(ids, maps.Keys(s.containers))
	}
	return ids
}
