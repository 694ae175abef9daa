package bandwidth

import (
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
)

// index finds what the nodes say about a policy without reading all reports.
type index struct {
	mu     sync.Mutex
	byName map[types.NamespacedName]map[string]v1alpha1.NodePolicyStatus // policy, node
	byNode map[string][]types.NamespacedName
}

func newIndex() *index {
	return &index{byName: map[types.NamespacedName]map[string]v1alpha1.NodePolicyStatus{}, byNode: map[string][]types.NamespacedName{}}
}

// set takes what a node says now, nil if it is gone, and returns the policies
// about which that is something else.
func (x *index) set(node string, policies []v1alpha1.NodePolicyStatus) (changed []types.NamespacedName) {
	x.mu.Lock()
	defer x.mu.Unlock()
	old := x.byNode[node]
	delete(x.byNode, node)
	for _, p := range policies {
		name := types.NamespacedName{Namespace: p.Namespace, Name: p.Name}
		x.byNode[node] = append(x.byNode[node], name)
		before, known := x.byName[name][node]
		if known && equality.Semantic.DeepEqual(before, p) {
			continue
		}
		if x.byName[name] == nil {
			x.byName[name] = map[string]v1alpha1.NodePolicyStatus{}
		}
		x.byName[name][node] = p
		changed = append(changed, name)
	}
	for _, name := range old {
		if !slices.Contains(x.byNode[node], name) {
			x.forget(name, node)
			changed = append(changed, name)
		}
	}
	return changed
}

func (x *index) forget(name types.NamespacedName, node string) {
	delete(x.byName[name], node)
	if len(x.byName[name]) == 0 {
		delete(x.byName, name)
	}
}

// of returns the policies that a node says something about.
func (x *index) of(node string) []types.NamespacedName {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.byNode[node])
}

// about returns what the nodes say about a policy. State gives what is known of
// a node; those that do not exist are left out.
func (x *index) about(name types.NamespacedName, state func(node string) (ready, exists bool)) []report {
	x.mu.Lock()
	defer x.mu.Unlock()
	var all []report
	for node, policy := range x.byName[name] {
		if ready, exists := state(node); exists {
			all = append(all, report{node: node, ready: ready, policy: policy})
		}
	}
	return all
}
