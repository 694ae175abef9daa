package registries

import (
	"context"
	"fmt"

	"k8s.io/client-go/kubernetes"

	"github.com/kedge-io/kedge/agent/herald"
	"github.com/kedge-io/kedge/internal/kubeclient"
)

// proclaim lets events out until ctx ends; wait is for their end.
func (r *Registries) proclaim(ctx context.Context) (wait func(), err error) {
	wait = func() {}
	if r.cfg.Kubeconfig == "" {
		return wait, nil
	}
	config, err := kubeclient.FromFile(r.cfg.Kubeconfig, "kedge-"+Name)
	if err != nil {
		return wait, fmt.Errorf("events of registry settings: %w", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return wait, fmt.Errorf("events of registry settings: %w", err)
	}
	r.herald = herald.New(r.cfg.NodeName, "", client, r.log)
	return r.herald.Start(ctx), nil
}

// tell makes an event on the node, as soon as a server is there.
func (r *Registries) tell(kind, reason, message string) {
	if r.herald != nil {
		r.herald.NodeEvent(kind, reason, message)
	}
}
