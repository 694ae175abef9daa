package v1alpha1

// Resources of nodes and pods that the scheduler counts guarantees by, in units
// of 1000 bit/s.
const (
	ResourceEgress  = "kedge.io/egress-kbps"
	ResourceIngress = "kedge.io/ingress-kbps"
)

// Annotations of pods whose resources kedge set, with what it set. They are not
// for people.
const (
	AnnotationInjectedEgress  = "kedge.io/injected-egress-kbps"
	AnnotationInjectedIngress = "kedge.io/injected-ingress-kbps"
)
