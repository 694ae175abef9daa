package runtime

import (
	"context"
	"errors"
	"fmt"

	containerd "github.com/containerd/containerd/v2/client"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// HostNetwork looks for the containers of pods that have the network of the
// host. It is used by one goroutine, except for Watch.
type HostNetwork struct {
	client *containerd.Client
	pods   map[string]bool // sandbox -> has the network of the host; this never changes
}

// NewHostNetwork returns one that connects at the first call.
func NewHostNetwork(cfg Config) (*HostNetwork, error) {
	client, err := cfg.dial()
	if err != nil {
		return nil, err
	}
	return &HostNetwork{client: client, pods: map[string]bool{}}, nil
}

// HostContainers returns the annotations of every such container that was
// created or runs.
func (h *HostNetwork) HostContainers(ctx context.Context) ([]map[string]string, error) {
	rt := criOf(h.client)
	if err := h.readPods(ctx, rt); err != nil {
		return nil, err
	}
	list, err := rt.ListContainers(ctx, &cri.ListContainersRequest{})
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	var found []map[string]string
	for _, c := range list.GetContainers() {
		lives := c.GetState() == cri.ContainerState_CONTAINER_RUNNING || c.GetState() == cri.ContainerState_CONTAINER_CREATED
		if lives && h.pods[c.GetPodSandboxId()] {
			found = append(found, c.GetAnnotations())
		}
	}
	return found, nil
}

// readPods asks for the network of each pod that is new, and forgets those
// that are gone.
func (h *HostNetwork) readPods(ctx context.Context, rt cri.RuntimeServiceClient) error {
	list, err := rt.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{Filter: &cri.PodSandboxFilter{
		State: &cri.PodSandboxStateValue{State: cri.PodSandboxState_SANDBOX_READY},
	}})
	if err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	pods := make(map[string]bool, len(list.GetItems()))
	for _, pod := range list.GetItems() {
		id := pod.GetId()
		known, ok := h.pods[id]
		if !ok {
			status, err := rt.PodSandboxStatus(ctx, &cri.PodSandboxStatusRequest{PodSandboxId: id})
			if err != nil {
				continue // it ended meanwhile; else the next look asks again
			}
			options := status.GetStatus().GetLinux().GetNamespaces().GetOptions()
			known = options != nil && options.GetNetwork() == cri.NamespaceMode_NODE
		}
		pods[id] = known
	}
	h.pods = pods
	return nil
}

// Watch calls changed after tasks started or ended, until ctx ends or
// containerd is gone.
func (h *HostNetwork) Watch(ctx context.Context, changed func()) error {
	events, errs := h.client.EventService().Subscribe(ctx,
		fmt.Sprintf(`namespace==%s,topic~="^/tasks/(start|exit|delete)$"`, Namespace))
	for {
		select {
		case _, ok := <-events:
			if !ok {
				return errors.New("containerd ended the events")
			}
			changed()
		case err := <-errs:
			return err
		}
	}
}

// Close ends the connection.
func (h *HostNetwork) Close() error { return h.client.Close() }
