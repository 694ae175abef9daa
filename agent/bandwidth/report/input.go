package report

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/plan"
	"github.com/kedge-io/kedge/agent/bandwidth/policy"
	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// Input is what the node knows about its bandwidth at one moment. It is not
// changed once it was handed in.
type Input struct {
	// Node is what was planned, Refusals what of it the plan does not fulfil.
	Node     model.Node
	Refusals []plan.Refusal
	// Pods are those of Node and where their limits come from.
	Pods []Pod
	// Requests are the resources of all pods that the API has on this node and
	// that have not ended, by the UID that the runtime knows, whether they run
	// yet or not. Nil as long as the API has not said which they are.
	Requests map[string]Request
	// Trouble says why the kernel is not as planned; empty where it is.
	Trouble     string
	Attribution v1alpha1.Attribution
	// Abilities are what this kernel has and others lack.
	Abilities []string
}

// Rates are in bits per second, by [model.Direction].
type Rates = [2]bitrate.Rate

// Pod is a pod that runs on the node and what it is to get.
type Pod struct {
	Namespace, Name, UID string
	Wanted               policy.Wanted
	Problems             []policy.Problem
}

// resourceOf is the resource of a direction.
var resourceOf = [2]corev1.ResourceName{model.Egress: v1alpha1.ResourceEgress, model.Ingress: v1alpha1.ResourceIngress}

// Request is what scheduler and kubelet count for a pod.
type Request struct {
	Rates Rates
	// Admitted tells that kubelet has taken the pod. Before, it may still reject
	// one that was bound past the scheduler, and must not be talked out of it.
	Admitted bool
}

// Requested is the request of a pod that has not ended.
func Requested(pod *corev1.Pod) Request {
	requests := resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})
	// kubelet sets the time when it has admitted the pod, before any container.
	out := Request{Admitted: pod.Status.StartTime != nil}
	for d, name := range resourceOf {
		if q, ok := requests[name]; ok {
			out.Rates[d] = bitrate.Rate(max(q.Value(), 0)) * bitrate.Kbit
		}
	}
	return out
}

// capacity is what the first uplink can promise; 0 where that is not known.
func (in Input) capacity(d model.Direction) bitrate.Rate {
	if len(in.Node.Uplinks) == 0 {
		return 0
	}
	return plan.Capacity(in.Node.Uplinks[0], d)
}

// granted is the guarantee that the pod has.
func (in Input) granted(p model.Pod, d model.Direction) bitrate.Rate {
	for _, r := range in.Refusals {
		if r.UID == p.UID && r.Direction == d {
			return r.Granted
		}
	}
	return p.Guarantee(d)
}

// promised is what all pods are guaranteed together.
func (in Input) promised(d model.Direction) bitrate.Rate {
	var sum bitrate.Rate
	for _, p := range in.Node.Pods {
		sum += in.granted(p, d)
	}
	return sum
}

// reserved is what counts as taken by pods that kubelet has taken: of each the
// larger of what it requested and what it is guaranteed. Requested is the part
// that they requested.
func (in Input) reserved(d model.Direction) (reserved, requested bitrate.Rate) {
	running := map[string]bool{}
	for _, p := range in.Node.Pods {
		running[p.UID] = true
		if has, asked := in.granted(p, d), in.Requests[p.UID].Rates[d]; has > asked {
			reserved += has - asked
		}
	}
	for uid, r := range in.Requests {
		if r.Admitted || running[uid] {
			requested += r.Rates[d]
		}
	}
	return reserved + requested, requested
}

// isGuarantee tells whether a key of [policy.Wanted.From] is a guarantee of the
// direction, of the pod or of a container.
func isGuarantee(field string, d model.Direction) bool {
	word := v1alpha1.FieldEgressMin
	if d == model.Ingress {
		word = v1alpha1.FieldIngressMin
	}
	return field == word || strings.HasSuffix(field, "."+word)
}
