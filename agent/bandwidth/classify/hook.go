package classify

import "github.com/kedge-io/kedge/agent/bandwidth/model"

// Hook is a place where packets are classified.
type Hook uint8

// The hooks. The first two are at the host's end of each pod's veth pair, the
// others at the uplink, all in clsact.
const (
	// PodEgress is what a pod sends: the veth's ingress.
	PodEgress Hook = iota
	// PodIngress is what a pod receives: the veth's egress.
	PodIngress
	// HostEgress is what programs in the host's network send, those of pods
	// without a network of their own included: the uplink's egress.
	HostEgress
	// HostIngress is what they receive: the uplink's ingress.
	HostIngress
	hooks = 4
)

// Hooks are all, in order.
var Hooks = [hooks]Hook{PodEgress, PodIngress, HostEgress, HostIngress}

// String is the hook's name in errors and reports.
func (h Hook) String() string {
	switch h {
	case PodEgress:
		return "pod egress"
	case PodIngress:
		return "pod ingress"
	case HostEgress:
		return "host egress"
	case HostIngress:
		return "host ingress"
	}
	return "unknown hook"
}

// Direction is that of the tree to which the hook's packets go.
func (h Hook) Direction() model.Direction {
	if h == PodEgress || h == HostEgress {
		return model.Egress
	}
	return model.Ingress
}
