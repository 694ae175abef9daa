package egress

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/kedge-io/kedge/tunnel"
)

// Watch makes the egress follow the nodes that the factory's informer sees. It
// is called once, before the factory starts and before the first dial.
func (e *Egress) Watch(factory informers.SharedInformerFactory) error {
	set := func(obj any) {
		if node, ok := obj.(*corev1.Node); ok {
			e.table.Set(read(node))
		}
	}
	registration, err := factory.Core().V1().Nodes().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    set,
		UpdateFunc: func(_, obj any) { set(obj) },
		DeleteFunc: func(obj any) {
			if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj); err == nil {
				e.table.Delete(tunnel.NodeName(key))
			}
		},
	})
	if err != nil {
		return fmt.Errorf("watch nodes for the API server's egress: %w", err)
	}
	e.synced = registration.HasSynced
	return nil
}

// wait returns once all nodes were seen, which takes until shortly after the
// start of the API server.
func (e *Egress) wait(ctx context.Context) error {
	if e.synced() || cache.WaitForCacheSync(ctx.Done(), e.synced) {
		return nil
	}
	return errors.Join(errors.New("the API server has not read the nodes yet"), ctx.Err())
}

// read takes from a node what the table needs.
func read(node *corev1.Node) Node {
	n := Node{Name: tunnel.NodeName(node.Name), Created: node.CreationTimestamp.Time}
	ranges := node.Spec.PodCIDRs
	if len(ranges) == 0 && node.Spec.PodCIDR != "" {
		ranges = []string{node.Spec.PodCIDR}
	}
	for _, text := range ranges {
		if p, err := netip.ParsePrefix(text); err == nil {
			n.PodRanges = append(n.PodRanges, p)
		}
	}
	for _, a := range node.Status.Addresses {
		if addr, err := netip.ParseAddr(a.Address); err == nil && a.Type == corev1.NodeInternalIP {
			n.Addresses = append(n.Addresses, addr.Unmap())
		}
	}
	return n
}
