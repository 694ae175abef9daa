package bandwidth

import (
	"slices"

	"github.com/kedge-io/kedge/agent/bandwidth/inventory"
	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/policy"
	"github.com/kedge-io/kedge/api/edge/v1alpha1"
)

// composed is what everybody's words come to.
type composed struct {
	node model.Node
	// pods are those of node, in the same order.
	pods []podView
}

// podView is a pod of the node and where its limits come from.
type podView struct {
	// ref is the pod in the API; inAPI tells that the API has said so.
	ref   podRef
	inAPI bool
	// wanted is what the pod is to get, problems what of its wishes was dropped.
	wanted   policy.Wanted
	problems []policy.Problem
}

// compose brings together what is wished, what runs and where traffic goes. A
// pod of which the API says nothing has the words that it was started with.
func compose(w wishes, pods []inventory.Pod, node model.Node) composed {
	c := composed{node: node}
	policies := map[string][]v1alpha1.BandwidthPolicy{} // by namespace: there may be many elsewhere
	for _, p := range w.Policies {
		policies[p.Namespace] = append(policies[p.Namespace], p)
	}
	for _, p := range pods {
		wish, inAPI := w.Pods[p.UID]
		if !inAPI {
			wish = wishOfSandbox(p)
		}
		wanted, problems := policy.Resolve(policy.Pod{
			Namespace: p.Namespace, Name: p.Name, UID: p.UID,
			Labels: wish.Labels, Annotations: wish.Annotations, Containers: wish.Containers,
		}, policies[p.Namespace])
		c.node.Pods = append(c.node.Pods, modelPod(p, wanted))
		c.pods = append(c.pods, podView{ref: wish.podRef, inAPI: inAPI && w.fresh, wanted: wanted, problems: problems})
	}
	return c
}

// wishOfSandbox is the wish of a pod as the runtime knows it.
func wishOfSandbox(p inventory.Pod) podWish {
	w := podWish{
		podRef: podRef{Namespace: p.Namespace, Name: p.Name, UID: p.UID},
		Labels: p.Labels, Annotations: bandwidthOnly(p.Annotations),
	}
	for _, c := range p.Containers {
		if !slices.Contains(w.Containers, c.Name) {
			w.Containers = append(w.Containers, c.Name)
		}
	}
	return w
}

func modelPod(p inventory.Pod, wanted policy.Wanted) model.Pod {
	m := model.Pod{
		UID: p.UID, Namespace: p.Namespace, Name: p.Name, HostNetwork: p.HostNetwork,
		Link: p.Link, NetnsID: p.NetnsID, Addr: p.Addr,
		Limits: wanted.Limits, Priority: wanted.Priority,
	}
	for _, c := range p.Containers {
		m.Containers = append(m.Containers, model.Container{
			Name: c.Name, ID: c.ID, Cgroup: c.Cgroup, Ports: c.Ports, Limits: wanted.Containers[c.Name],
		})
	}
	return m
}
