package firewall

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
	"github.com/kedge-io/kedge/edgefw/plan/netpol"
)

// errPodsUnknown keeps rules from being made of half of the pods: the nodes go
// on with what they have until all were read.
var errPodsUnknown = fmt.Errorf("there are network policies, and the pods that they are about are being read")

// input is all that rulesets depend on, as it is now.
func (f *Firewall) input() (plan.Input, error) {
	in := plan.Input{Firewalls: f.firewalls(), Inventory: f.inventory()}
	var err error
	in.Pods, err = f.pods()
	return in, err
}

// firewalls are those that were found valid, by name.
func (f *Firewall) firewalls() []model.Firewall {
	var all []model.Firewall
	for _, o := range list[*v1alpha1.EdgeFirewall](f.caches.firewalls) {
		if read := f.read(o); read.err == nil {
			all = append(all, read.firewall)
		}
	}
	return all
}

// inventory is the fleet: nodes with their objects, those that are joining, and
// the servers.
func (f *Firewall) inventory() model.Inventory {
	inv := model.Inventory{
		Servers: f.cfg.Servers, Pods: f.cfg.Pods, Services: f.cfg.Services,
		AddressSets: f.cfg.Sets(), Balanced: f.cfg.Balanced(),
	}
	for _, w := range list[*watchedNode](f.caches.nodes) {
		node := w.node
		node.Public = f.places.of(node.Name)
		if node.Name == f.cfg.OwnNode {
			node.Server = true
			node.Public = union(f.cfg.Own, node.Public)
		}
		inv.Nodes = append(inv.Nodes, node)
	}
	for _, name := range f.places.joining() {
		inv.Nodes = append(inv.Nodes, model.Node{Name: name, Labels: labelsOfJoining(name), Public: f.places.of(name)})
	}
	return inv
}

// labelsOfJoining are the labels that are certain before a node has its object.
// Rules that choose nodes by others know it as soon as it has registered.
func labelsOfJoining(node string) map[string]string {
	return map[string]string{corev1.LabelHostname: node, corev1.LabelOSStable: "linux"}
}

func union(a, b []netip.Addr) []netip.Addr {
	all := slices.Clone(a)
	for _, addr := range b {
		if !slices.Contains(all, addr) {
			all = append(all, addr)
		}
	}
	return all
}

// pods is what network policies are about; nothing without policies.
func (f *Firewall) pods() (netpol.Input, error) {
	in := netpol.Input{DNS: f.cfg.ClusterDNS, API: f.cfg.API, APIPorts: f.cfg.APIPorts}
	if f.caches.policies == nil {
		return in, nil
	}
	in.Policies = list[*networkingv1.NetworkPolicy](f.caches.policies)
	if len(in.Policies) == 0 {
		return in, nil
	}
	if !f.caches.podsKnown() {
		f.needPods()
		return in, errPodsUnknown
	}
	in.Namespaces = map[string]map[string]string{}
	for _, n := range list[*corev1.Namespace](f.caches.namespaces) {
		in.Namespaces[n.Name] = n.Labels
	}
	for _, w := range list[*watchedPod](f.caches.pods) {
		in.Pods = append(in.Pods, w.pod)
	}
	return in, nil
}

// named is what list sorts by.
type named interface {
	GetNamespace() string
	GetName() string
}

// list is what an informer knows, by namespace and name.
func list[T named](informer cache.SharedInformer) []T {
	if informer == nil {
		return nil
	}
	var all []T
	for _, o := range informer.GetStore().List() {
		if t, ok := o.(T); ok {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(a, b T) int {
		return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
	return all
}
