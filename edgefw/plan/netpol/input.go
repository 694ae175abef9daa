package netpol

import (
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/kedge-io/kedge/edgefw/model"
)

// Input is all that the rules of pods depend on. Nothing in it is changed, and
// the order of its slices means nothing.
type Input struct {
	Pods []Pod
	// Namespaces are the labels of each namespace.
	Namespaces map[string]map[string]string
	Policies   []*networkingv1.NetworkPolicy
	// Ranges are those of each node's pods. A node says itself which addresses its
	// pods have; others than these it cannot give away. Of a node that is not
	// listed all are believed.
	Ranges map[string][]netip.Prefix
	// DNS is the address of the cluster DNS; zero for none.
	DNS netip.Addr
	// API is the service address of the API server, which is on each node. Who
	// may use one of APIPorts there, or 6443, may use all of them: one is
	// rewritten to the other on the node. Zero and empty for none.
	API      netip.Addr
	APIPorts []uint16
}

// Pod is what policies see of a pod.
type Pod struct {
	// UID is the container runtime's, see [PodOf].
	UID, Namespace, Name, Node string
	Labels                     map[string]string
	// Addresses are those of its status; none while it has none, in the network
	// of its host, and when it has ended.
	Addresses []netip.Addr
	// Ports are those with a name.
	Ports []NamedPort
	// HostNetwork tells that it is in the network of its host: no policy selects
	// it, and it is nobody's peer.
	HostNetwork bool
	// Mirror tells that it stands for a static pod, whose UID anybody who may
	// create pods can claim: a pod that has it by itself wins, then the oldest.
	Mirror bool
	// Ended tells that all its containers ended for good.
	Ended bool
	// Leaving tells that it is being deleted, Created when it was made: where two
	// pods claim one address, it is that of the one that stays, or the newer one.
	Leaving bool
	Created time.Time
}

// NamedPort is a port of a pod that has a name.
type NamedPort struct {
	Name     string
	Protocol model.Protocol
	Port     uint16
}

// mirrorAnnotation is the UID that a static pod has in the container runtime,
// on the object that stands for it in the API, which has another UID.
const mirrorAnnotation = "kubernetes.io/config.mirror"

// PodOf is what policies see of an object of the API.
func PodOf(o *corev1.Pod) Pod {
	p := Pod{
		UID: string(o.UID), Namespace: o.Namespace, Name: o.Name, Node: o.Spec.NodeName, Labels: o.Labels,
		HostNetwork: o.Spec.HostNetwork, Ended: o.Status.Phase == corev1.PodSucceeded || o.Status.Phase == corev1.PodFailed,
		Leaving: o.DeletionTimestamp != nil, Created: o.CreationTimestamp.Time,
	}
	if uid := o.Annotations[mirrorAnnotation]; uid != "" {
		p.UID, p.Mirror = uid, true
	}
	if p.Ended || p.HostNetwork {
		return p
	}
	p.Addresses = addresses(o)
	p.Ports = namedPorts(o)
	return p
}

func addresses(o *corev1.Pod) []netip.Addr {
	var all []netip.Addr
	for _, ip := range o.Status.PodIPs {
		if addr, err := netip.ParseAddr(ip.IP); err == nil {
			all = append(all, addr.Unmap())
		}
	}
	if addr, err := netip.ParseAddr(o.Status.PodIP); err == nil && len(all) == 0 {
		all = append(all, addr.Unmap())
	}
	return all
}

// namedPorts are those of containers and of sidecars, which are init containers
// that go on: the same as the ones that services find.
func namedPorts(o *corev1.Pod) []NamedPort {
	var all []NamedPort
	add := func(ports []corev1.ContainerPort) {
		for _, p := range ports {
			if p.Name != "" && p.ContainerPort > 0 && p.ContainerPort <= maxPort {
				all = append(all, NamedPort{Name: p.Name, Protocol: protocol(&p.Protocol), Port: uint16(p.ContainerPort)})
			}
		}
	}
	for i := range o.Spec.Containers {
		add(o.Spec.Containers[i].Ports)
	}
	for i := range o.Spec.InitContainers {
		c := &o.Spec.InitContainers[i]
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			add(c.Ports)
		}
	}
	return all
}
