package network

import (
	"cmp"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// slim keeps of a Node what this package reads, so that a cache of a thousand
// nodes costs kilobytes. It is an informer's transform function.
func slim(obj any) (any, error) {
	node, ok := obj.(*corev1.Node)
	if !ok {
		return obj, nil
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: node.Name, UID: node.UID, ResourceVersion: node.ResourceVersion},
		Spec:       corev1.NodeSpec{PodCIDR: node.Spec.PodCIDR, PodCIDRs: node.Spec.PodCIDRs},
		Status:     corev1.NodeStatus{Addresses: node.Status.Addresses},
	}, nil
}

// peerOf reads a node; the fields that it does not have (yet) are invalid.
func peerOf(node *corev1.Node) Peer {
	p := Peer{Name: node.Name}
	for _, text := range append([]string{node.Spec.PodCIDR}, node.Spec.PodCIDRs...) {
		if cidr, err := netip.ParsePrefix(text); err == nil && cidr.Addr().Is4() {
			p.PodCIDR = cidr.Masked()
			break
		}
	}
	for _, a := range node.Status.Addresses {
		if a.Type != corev1.NodeInternalIP {
			continue
		}
		if addr, err := netip.ParseAddr(a.Address); err == nil && addr.Is4() {
			p.Address = addr
			break
		}
	}
	return p
}

// known is what the cluster said of this node and the others. It is also what
// is kept on disk, so that a node that starts without its servers has a pod
// network.
type known struct {
	PodCIDR netip.Prefix `json:"podCIDR"`
	Peers   []Peer       `json:"peers"`
}

func knownFrom(own string, nodes []*corev1.Node) known {
	var k known
	for _, node := range nodes {
		p := peerOf(node)
		switch {
		case p.Name == own:
			k.PodCIDR = p.PodCIDR
		case p.PodCIDR.IsValid() && p.Address.IsValid():
			k.Peers = append(k.Peers, p)
		}
	}
	slices.SortFunc(k.Peers, func(a, b Peer) int { return cmp.Compare(a.Name, b.Name) })
	return k
}
