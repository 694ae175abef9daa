package bandwidth

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
)

// look asks for a look at a policy, not sooner than its pace allows.
func (c *controller) look(name types.NamespacedName) {
	it := item{policy: name}
	c.queue.AddAfter(it, c.pace.wait(name))
}

func (c *controller) lookAll(names []types.NamespacedName) {
	for _, name := range names {
		c.look(name)
	}
}

func (c *controller) policyAdded(obj any) {
	if p, ok := obj.(*v1alpha1.BandwidthPolicy); ok {
		c.look(nameOf(p))
	}
}

func (c *controller) policyUpdated(before, after any) {
	a, okA := before.(*v1alpha1.BandwidthPolicy)
	b, okB := after.(*v1alpha1.BandwidthPolicy)
	if okA && okB && (a.UID != b.UID || a.Generation != b.Generation) {
		c.look(nameOf(b))
	}
}

func (c *controller) policyDeleted(obj any) {
	if key, err := cache.DeletionHandlingObjectToName(obj); err == nil {
		c.look(types.NamespacedName(key.AsNamespacedName()))
	}
}

func (c *controller) reportSeen(obj any) {
	r, ok := obj.(*v1alpha1.NodeBandwidth)
	if !ok {
		return
	}
	c.lookAll(c.index.set(r.Name, r.Status.Policies))
	if _, exists := c.node(r.Name); !exists {
		c.queue.Add(item{node: r.Name})
	}
}

func (c *controller) reportGone(obj any) {
	if key, err := cache.DeletionHandlingObjectToName(obj); err == nil {
		c.lookAll(c.index.set(key.Name, nil))
	}
}

// nodeSeen is for nodes that came and for those that went.
func (c *controller) nodeSeen(obj any) {
	if key, err := cache.DeletionHandlingObjectToName(obj); err == nil {
		c.lookAll(c.index.of(key.Name))
		c.queue.Add(item{node: key.Name})
	}
}

func (c *controller) nodeUpdated(before, after any) {
	a, okA := before.(*corev1.Node)
	b, okB := after.(*corev1.Node)
	if okA && okB && ready(a) != ready(b) {
		c.lookAll(c.index.of(b.Name))
	}
}

// node tells whether a node exists and is ready.
func (c *controller) node(name string) (isReady, exists bool) {
	obj, exists, err := c.nodes.GetStore().GetByKey(name)
	if err != nil || !exists {
		return false, false
	}
	n, ok := obj.(*corev1.Node)
	return ok && ready(n), true
}

func ready(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func nameOf(o metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}

// The caches keep of a thousand nodes only what is looked at.

func slimPolicy(obj any) (any, error) {
	if p, ok := obj.(*v1alpha1.BandwidthPolicy); ok {
		p.ManagedFields = nil
	}
	return obj, nil
}

func slimReport(obj any) (any, error) {
	r, ok := obj.(*v1alpha1.NodeBandwidth)
	if !ok {
		return obj, nil
	}
	return &v1alpha1.NodeBandwidth{
		ObjectMeta: metav1.ObjectMeta{Name: r.Name, UID: r.UID, ResourceVersion: r.ResourceVersion, CreationTimestamp: r.CreationTimestamp},
		Status:     v1alpha1.NodeBandwidthStatus{Policies: r.Status.Policies},
	}, nil
}

func slimNode(obj any) (any, error) {
	n, ok := obj.(*corev1.Node)
	if !ok {
		return obj, nil
	}
	slim := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name, UID: n.UID, ResourceVersion: n.ResourceVersion}}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			slim.Status.Conditions = []corev1.NodeCondition{{Type: c.Type, Status: c.Status}}
		}
	}
	return slim, nil
}
