// Package policy finds out what a pod is to get from its annotations and from
// the BandwidthPolicies of its namespace. It is pure: values in, values out.
//
// Each field of the pod (egress-min and so on) and of each of its containers is
// decided by itself. The first source that says something counts:
//
//  1. the pod's annotation bandwidth.kedge.io/FIELD, for a container
//     bandwidth.kedge.io/container.NAME.FIELD,
//  2. kubernetes.io/egress-bandwidth and ingress-bandwidth, ceilings of the pod,
//  3. BandwidthPolicies whose podSelector chooses the pod, the oldest first, by
//     name if they are equally old,
//  4. BandwidthPolicies without podSelector, in the same order.
//
// What cannot be read counts as not said. A guarantee above a ceiling of the same
// pod or container loses against a stronger ceiling and wins over a weaker one;
// said in the same place it loses. Guarantees of containers that do not fit below
// the pod's ceiling are dropped. All of that is told in [Problem] values.
//
// Start reading at [Resolve].
package policy
