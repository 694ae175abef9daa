package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// dial connects to containerd in Kubernetes' namespace. The connection is made
// lazily: an error shows at the first call.
func (c Config) dial() (*containerd.Client, error) {
	client, err := containerd.New(c.Layout.ContainerdSocket(),
		containerd.WithDefaultNamespace(Namespace), containerd.WithTimeout(2*time.Second))
	if err != nil {
		return nil, fmt.Errorf("connect to containerd: %w", err)
	}
	return client, nil
}

// criOf speaks CRI over the connection of client, which must come from dial.
func criOf(client *containerd.Client) cri.RuntimeServiceClient {
	return cri.NewRuntimeServiceClient(client.Conn().(grpc.ClientConnInterface))
}

// errNotReady is the answer of a runtime that is up but not usable.
var errNotReady = errors.New("containerd reports that its runtime is not ready")

// probe asks what kubelet will ask: the version, and that the runtime is
// ready. The network may come later.
func probe(ctx context.Context, rt cri.RuntimeServiceClient) error {
	if _, err := rt.Version(ctx, &cri.VersionRequest{}); err != nil {
		return fmt.Errorf("ask containerd for its version: %w", err)
	}
	resp, err := rt.Status(ctx, &cri.StatusRequest{})
	if err != nil {
		return fmt.Errorf("ask containerd for its status: %w", err)
	}
	for _, cond := range resp.GetStatus().GetConditions() {
		if cond.GetType() == cri.RuntimeReady && cond.GetStatus() {
			return nil
		}
	}
	return errNotReady
}
