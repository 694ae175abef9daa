package balancer

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/internal/wire"
)

// Of each object only what decisions need is kept. Watched objects are not
// changed.

// node is a Node.
type node struct {
	metav1.ObjectMeta
	labelled, excluded, ready bool
	// public are the addresses that servers see it come from, and those that it was
	// told to have outside (--node-external-ip); reported are those that it has
	// within its site. Others that it reports are not believed.
	public, reported []netip.Addr
}

// service is a Service. Of one that is not ours only the name is kept.
type service struct {
	metav1.ObjectMeta
	ours bool
	// ports are those of protocols that firewalls know.
	ports []model.BalancedPort
	// sources may reach it; none for everybody.
	sources []netip.Prefix
	// local: only nodes that run an endpoint offer it.
	local      bool
	publicOnly bool
	ipv4, ipv6 bool
	ingress    []corev1.LoadBalancerIngress
}

// endpoints is an EndpointSlice.
type endpoints struct {
	metav1.ObjectMeta
	service string // "namespace/name"
	// nodes run an endpoint; true for those of which one is ready.
	nodes map[string]bool
}

func key(o *metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name, UID: o.UID, ResourceVersion: o.ResourceVersion, CreationTimestamp: o.CreationTimestamp}
}

func slimNode(obj any) (any, error) {
	n, ok := obj.(*corev1.Node)
	if !ok {
		return obj, nil
	}
	w := &node{ObjectMeta: key(&n.ObjectMeta), public: addresses(n.Annotations[wire.AnnotationPublicAddress]), reported: slices.DeleteFunc(addresses(n.Annotations[wire.AnnotationAddresses]), func(a netip.Addr) bool { return !private(a) })}
	_, w.labelled = n.Labels[Label]
	_, w.excluded = n.Labels[excludeLabel]
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			w.ready = c.Status == corev1.ConditionTrue
		}
	}
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeExternalIP {
			w.public = append(w.public, addresses(a.Address)...)
		}
	}
	return w, nil
}

// addresses reads a list with commas; what nobody from outside can reach is left
// out.
func addresses(text string) []netip.Addr {
	var all []netip.Addr
	for word := range strings.SplitSeq(text, ",") {
		a, err := netip.ParseAddr(strings.TrimSpace(word))
		if a = a.Unmap(); err == nil && a.IsGlobalUnicast() && a.Zone() == "" && !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}

// private addresses may be at several sites, those of providers (RFC 6598) too.
func private(a netip.Addr) bool {
	return a.IsPrivate() || netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10).Contains(a)
}

func slimService(obj any) (any, error) {
	s, ok := obj.(*corev1.Service)
	if !ok {
		return obj, nil
	}
	w := &service{ObjectMeta: key(&s.ObjectMeta)}
	class := s.Spec.LoadBalancerClass
	if w.ours = s.Spec.Type == corev1.ServiceTypeLoadBalancer && (class == nil || *class == Class); !w.ours {
		return w, nil
	}
	w.local = s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
	w.publicOnly = s.Annotations[AnnotationAddresses] == AddressesPublic
	w.ingress = s.Status.LoadBalancer.Ingress
	for _, p := range s.Spec.Ports {
		protocol := model.Protocol(strings.ToLower(string(p.Protocol)))
		if protocol == model.TCP || protocol == model.UDP {
			w.ports = append(w.ports, model.BalancedPort{Protocol: protocol, Port: uint16(p.Port)})
		}
	}
	for _, family := range s.Spec.IPFamilies {
		w.ipv4, w.ipv6 = w.ipv4 || family == corev1.IPv4Protocol, w.ipv6 || family == corev1.IPv6Protocol
	}
	w.sources = sources(s)
	return w, nil
}

// sources are those of the field or, where it is empty, of the annotation that
// came before it. The API server has checked both.
func sources(s *corev1.Service) []netip.Prefix {
	texts := s.Spec.LoadBalancerSourceRanges
	if old := s.Annotations[corev1.AnnotationLoadBalancerSourceRangesKey]; len(texts) == 0 && strings.TrimSpace(old) != "" {
		texts = strings.Split(old, ",")
	}
	var all []netip.Prefix
	for _, text := range texts {
		if p, err := netip.ParsePrefix(strings.TrimSpace(text)); err == nil {
			all = append(all, p.Masked())
		}
	}
	return all
}

func slimEndpoints(obj any) (any, error) {
	s, ok := obj.(*discoveryv1.EndpointSlice)
	if !ok {
		return obj, nil
	}
	w := &endpoints{ObjectMeta: key(&s.ObjectMeta), service: s.Namespace + "/" + s.Labels[discoveryv1.LabelServiceName], nodes: map[string]bool{}}
	for _, e := range s.Endpoints {
		if e.NodeName != nil {
			// Upstream: unknown is ready.
			w.nodes[*e.NodeName] = w.nodes[*e.NodeName] || e.Conditions.Ready == nil || *e.Conditions.Ready
		}
	}
	return w, nil
}
