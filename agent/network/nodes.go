package network

import (
	"cmp"
	"crypto/ed25519"
	"encoding/base64"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedge-io/kedge/internal/wire"
)

// maxAddresses is how many addresses of one node count; a host with more is
// found by the first ones.
const maxAddresses = 8

// slim keeps of a Node what this package reads, so that a cache of a thousand
// nodes costs kilobytes. It is an informer's transform function.
func slim(obj any) (any, error) {
	node, ok := obj.(*corev1.Node)
	if !ok {
		return obj, nil
	}
	annotations := map[string]string{}
	for _, key := range []string{wire.AnnotationAddresses, wire.AnnotationProbeKey} {
		if value, ok := node.Annotations[key]; ok {
			annotations[key] = value
		}
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: node.Name, UID: node.UID, ResourceVersion: node.ResourceVersion, Annotations: annotations},
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
	texts := strings.SplitN(node.Annotations[wire.AnnotationAddresses], ",", maxAddresses+1)
	for _, a := range node.Status.Addresses {
		if a.Type == corev1.NodeExternalIP {
			texts = append(texts, a.Address)
		}
	}
	for _, text := range texts {
		addr, err := netip.ParseAddr(strings.TrimSpace(text))
		if err == nil && addr.Is4() && !slices.Contains(p.Addresses, addr) && len(p.Addresses) < maxAddresses {
			p.Addresses = append(p.Addresses, addr)
		}
	}
	key, err := base64.StdEncoding.DecodeString(node.Annotations[wire.AnnotationProbeKey])
	if err == nil && len(key) == ed25519.PublicKeySize {
		p.ProbeKey = key
	}
	return p
}

// equal tells whether two peers lead to the same plan.
func (p Peer) equal(o Peer) bool {
	return p.Name == o.Name && p.PodCIDR == o.PodCIDR && slices.Equal(p.Addresses, o.Addresses) && slices.Equal(p.ProbeKey, o.ProbeKey)
}

// known is what the cluster said of this node and the others. It is also what
// is kept on disk, so that a node that starts without its servers has a pod
// network.
type known struct {
	PodCIDR netip.Prefix `json:"podCIDR"`
	Peers   []Peer       `json:"peers"`
}

func (k known) equal(o known) bool {
	return k.PodCIDR == o.PodCIDR && slices.EqualFunc(k.Peers, o.Peers, Peer.equal)
}

func knownFrom(own string, nodes []*corev1.Node) known {
	var k known
	for _, node := range nodes {
		p := peerOf(node)
		switch {
		case p.Name == own:
			k.PodCIDR = p.PodCIDR
		case p.PodCIDR.IsValid():
			k.Peers = append(k.Peers, p)
		}
	}
	slices.SortFunc(k.Peers, func(a, b Peer) int { return cmp.Compare(a.Name, b.Name) })
	return k
}

// siteAddresses are the host's own addresses that are worth telling to nodes of
// the same site: those that a person named, then those of the default route's
// link, then the others. What belongs to the cluster is left out.
func siteAddresses(cfg Config, f Facts) []netip.Addr {
	out := slices.Clone(cfg.NodeIPs)
	uplinks := slices.Clone(f.Uplinks)
	slices.SortStableFunc(uplinks, func(a, b Uplink) int {
		rank := func(u Uplink) int {
			if u.Name == f.Default {
				return 0
			}
			return 1
		}
		return cmp.Compare(rank(a), rank(b))
	})
	for _, u := range uplinks {
		for _, own := range u.Addresses {
			out = append(out, own.Addr())
		}
	}
	seen := map[netip.Addr]bool{}
	out = slices.DeleteFunc(out, func(a netip.Addr) bool {
		drop := seen[a] || !a.Is4() || !a.IsGlobalUnicast() || cfg.ClusterCIDR.Contains(a)
		seen[a] = true
		return drop
	})
	return out[:min(len(out), maxAddresses)]
}
