package server

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/kedge-io/kedge/internal/kubeclient"
	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/server/kube"
)

// controlPlaneLabel is what kubectl shows as the role of a node. A kubelet may
// not give it to its own node (NodeRestriction), so the server does.
const controlPlaneLabel = "node-role.kubernetes.io/control-plane"

// roleComponent labels the server's own node once it has registered.
func (s *Server) roleComponent() lifecycle.Component {
	return lifecycle.Component{Name: "node-role", Needs: []string{kube.APIServer}, Run: func(ctx context.Context, ready func()) error {
		config, err := kubeclient.FromFile(s.paths.SupervisorKubeconfig, "kedge/"+s.cfg.Version)
		if err != nil {
			return err
		}
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return fmt.Errorf("client of the supervisor: %w", err)
		}
		// Nothing waits for the label, and the node may come late.
		ready()
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for labelNode(ctx, client, s.cfg.NodeName) != nil {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-ticker.C:
			}
		}
		<-ctx.Done()
		return ctx.Err()
	}}
}

func labelNode(ctx context.Context, client kubernetes.Interface, name string) error {
	patch := []byte(`{"metadata":{"labels":{"` + controlPlaneLabel + `":"true"}}}`)
	_, err := client.CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}
