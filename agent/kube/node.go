package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kedge-io/kedge/internal/lifecycle"
)

// newNode watches the node's own object: it is ready when the API calls the
// node Ready, is degraded while the API does not, and publishes what is
// special about the host as conditions of the node.
func newNode(cfg Config, log *slog.Logger, report func(string, error)) lifecycle.Component {
	return lifecycle.Component{
		Name:  Node,
		Needs: []string{Kubelet},
		Run: func(ctx context.Context, ready func()) error {
			client, err := nodeClient(cfg)
			if err != nil {
				return err
			}
			if err := publish(ctx, client, cfg); err != nil && ctx.Err() == nil {
				log.Warn("conditions of the host are not on the node", "error", err)
			}
			factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
				o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, cfg.NodeName).String()
			}))
			informer := factory.Core().V1().Nodes().Informer()
			wasReady := false // informers call their handlers one after another
			see := func(obj any) {
				node, ok := obj.(*corev1.Node)
				if !ok {
					return
				}
				err := notReady(node)
				if err == nil {
					ready()
					wasReady = true
				}
				// A node that is not ready yet is starting, not degraded.
				if wasReady {
					report(Node, err)
				}
			}
			if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
				AddFunc:    see,
				UpdateFunc: func(_, obj any) { see(obj) },
			}); err != nil {
				return fmt.Errorf("watch the node: %w", err)
			}
			factory.Start(ctx.Done())
			<-ctx.Done()
			factory.Shutdown()
			return ctx.Err()
		},
	}
}

// notReady returns nil for a node that the API calls Ready, else why it is not.
func notReady(node *corev1.Node) error {
	for _, c := range node.Status.Conditions {
		if c.Type != corev1.NodeReady {
			continue
		}
		if c.Status == corev1.ConditionTrue {
			return nil
		}
		return fmt.Errorf("node is not ready: %s", c.Message)
	}
	return errors.New("node is not ready: kubelet has not said anything yet")
}

// publish puts the host's conditions and the declared addresses on the node.
func publish(ctx context.Context, client kubernetes.Interface, cfg Config) error {
	var errs []error
	patch := func(kind types.PatchType, status map[string]any) {
		data, err := json.Marshal(map[string]any{"status": status})
		if err == nil {
			_, err = client.CoreV1().Nodes().Patch(ctx, cfg.NodeName, kind, data, metav1.PatchOptions{}, "status")
		}
		errs = append(errs, err)
	}
	if conditions := hostConditions(cfg.Host); len(conditions) > 0 {
		patch(types.StrategicMergePatchType, map[string]any{"conditions": conditions})
	}
	if addresses := declaredAddresses(cfg); len(addresses) > 0 {
		// The strategic merge goes by type and would mix two of one type.
		patch(types.MergePatchType, map[string]any{"addresses": addresses})
	}
	return errors.Join(errs...)
}

func hostConditions(h Host) []corev1.NodeCondition {
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	var conditions []corev1.NodeCondition
	for _, c := range h.Conditions {
		conditions = append(conditions, corev1.NodeCondition{
			Type: corev1.NodeConditionType("Kedge" + c.Type), Status: corev1.ConditionTrue,
			Reason: "HostAdapted", Message: c.Message, LastHeartbeatTime: now, LastTransitionTime: now,
		})
	}
	return conditions
}

// declaredAddresses are all addresses of a node with --node-external-ip, none
// for other nodes: kubelet sets those.
func declaredAddresses(cfg Config) []corev1.NodeAddress {
	if len(cfg.ExternalIPs) == 0 {
		return nil
	}
	var out []corev1.NodeAddress
	for _, ip := range cfg.NodeIPs {
		out = append(out, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: ip.String()})
	}
	for _, ip := range cfg.ExternalIPs {
		out = append(out, corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: ip.String()})
	}
	return append(out, corev1.NodeAddress{Type: corev1.NodeHostName, Address: cfg.NodeName})
}

// nodeClient speaks to the API as kubelet does: with the node's certificate.
func nodeClient(cfg Config) (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", cfg.Layout.KubeletConfig())
	if err != nil {
		return nil, fmt.Errorf("read the node's kubeconfig: %w", err)
	}
	config.Timeout = 0
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("client of the node: %w", err)
	}
	return client, nil
}
