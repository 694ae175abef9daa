package firewall

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan/netpol"
	"github.com/kedge-io/kedge/internal/wire"
)

// serverLabel is on the nodes of servers (see server/nodes).
const serverLabel = "node-role.kubernetes.io/control-plane"

// Of each object the caches keep only what rules are made of. Watched objects
// are not changed.

// watchedNode is a Node.
type watchedNode struct {
	metav1.ObjectMeta
	// node lacks Public.
	node model.Node
	// remembered is the annotation kedge.io/public-address.
	remembered []netip.Addr
	annotation string
}

// watchedPod is a Pod.
type watchedPod struct {
	metav1.ObjectMeta
	pod netpol.Pod
}

// key is what a cache needs to know of an object.
func key(o *metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name, UID: o.UID, ResourceVersion: o.ResourceVersion}
}

func slimNode(obj any) (any, error) {
	n, ok := obj.(*corev1.Node)
	if !ok {
		return obj, nil
	}
	w := &watchedNode{ObjectMeta: key(&n.ObjectMeta), annotation: n.Annotations[wire.AnnotationPublicAddress]}
	w.remembered = addressList(w.annotation)
	w.node = model.Node{
		Name: n.Name, Labels: n.Labels, Server: hasLabel(n.Labels, serverLabel),
		Reported: reported(n), PodRanges: podRanges(n),
	}
	return w, nil
}

func hasLabel(labels map[string]string, key string) bool {
	_, ok := labels[key]
	return ok
}

// reported are the addresses that a node says it has.
func reported(n *corev1.Node) []netip.Addr {
	texts := []string{n.Annotations[wire.AnnotationAddresses]}
	for _, a := range n.Status.Addresses[:min(len(n.Status.Addresses), maxAddresses)] {
		if a.Type == corev1.NodeExternalIP {
			texts = append(texts, a.Address)
		}
	}
	return addressList(strings.Join(texts, ","))
}

func podRanges(n *corev1.Node) []netip.Prefix {
	texts := n.Spec.PodCIDRs
	if len(texts) == 0 && n.Spec.PodCIDR != "" {
		texts = []string{n.Spec.PodCIDR}
	}
	var ranges []netip.Prefix
	for _, text := range texts {
		if p, err := netip.ParsePrefix(text); err == nil {
			ranges = append(ranges, p.Masked())
		}
	}
	return ranges
}

// maxAddresses is how many addresses of one node count. Nodes write theirs
// themselves, and what one says goes to all of its site.
const maxAddresses = 64

// addressList reads addresses that are separated by commas. What is none, or
// none that another machine can have, is left out.
func addressList(text string) []netip.Addr {
	var addrs []netip.Addr
	for part := range strings.SplitSeq(text, ",") {
		if len(addrs) == maxAddresses {
			break
		}
		a, err := netip.ParseAddr(strings.TrimSpace(part))
		if a = a.Unmap().WithZone(""); err == nil && routable(a) && !slices.Contains(addrs, a) {
			addrs = append(addrs, a)
		}
	}
	return addrs
}

// routable tells whether packets of another machine can have that source.
func routable(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && !a.IsLinkLocalUnicast()
}

func slimPod(obj any) (any, error) {
	p, ok := obj.(*corev1.Pod)
	if !ok {
		return obj, nil
	}
	return &watchedPod{ObjectMeta: key(&p.ObjectMeta), pod: netpol.PodOf(p)}, nil
}

func slimNamespace(obj any) (any, error) {
	n, ok := obj.(*corev1.Namespace)
	if !ok {
		return obj, nil
	}
	slim := &corev1.Namespace{ObjectMeta: key(&n.ObjectMeta)}
	slim.Labels = n.Labels
	return slim, nil
}

func slimPolicy(obj any) (any, error) {
	if p, ok := obj.(*networkingv1.NetworkPolicy); ok {
		p.ManagedFields, p.Annotations = nil, nil
	}
	return obj, nil
}

func slimFirewall(obj any) (any, error) {
	if f, ok := obj.(*v1alpha1.EdgeFirewall); ok {
		f.ManagedFields, f.Annotations = nil, nil
	}
	return obj, nil
}

// The following tell whether an update changes anything that rules depend on.

func nodeDiffers(before, after any) bool {
	a, okA := before.(*watchedNode)
	b, okB := after.(*watchedNode)
	return !okA || !okB || a.UID != b.UID || !reflect.DeepEqual(a.node, b.node)
}

func podDiffers(before, after any) bool {
	a, okA := before.(*watchedPod)
	b, okB := after.(*watchedPod)
	return !okA || !okB || !reflect.DeepEqual(a.pod, b.pod)
}

func labelsDiffer(before, after any) bool {
	a, okA := before.(metav1.Object)
	b, okB := after.(metav1.Object)
	return !okA || !okB || !reflect.DeepEqual(a.GetLabels(), b.GetLabels())
}

func generationDiffers(before, after any) bool {
	a, okA := before.(metav1.Object)
	b, okB := after.(metav1.Object)
	return !okA || !okB || a.GetUID() != b.GetUID() || a.GetGeneration() != b.GetGeneration()
}
