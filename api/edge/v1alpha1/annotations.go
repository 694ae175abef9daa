package v1alpha1

import "strings"

// Annotations of pods. Values are quantities in bits per second ("10M"), from
// [MinRate] to [MaxRate].
const (
	// AnnotationIngress and AnnotationEgress are upstream's: ceilings of the pod.
	AnnotationIngress = "kubernetes.io/ingress-bandwidth"
	AnnotationEgress  = "kubernetes.io/egress-bandwidth"

	// AnnotationPrefix begins all keys that belong to kedge's bandwidth.
	AnnotationPrefix = "bandwidth.kedge.io/"
	// Guarantees and ceilings of the pod. The ceilings go before upstream's.
	AnnotationEgressMin  = AnnotationPrefix + FieldEgressMin
	AnnotationEgressMax  = AnnotationPrefix + FieldEgressMax
	AnnotationIngressMin = AnnotationPrefix + FieldIngressMin
	AnnotationIngressMax = AnnotationPrefix + FieldIngressMax
	// AnnotationContainerPrefix comes before NAME.FIELD, see [ContainerAnnotation].
	AnnotationContainerPrefix = AnnotationPrefix + "container."
)

// Fields of a pod or container that annotations set.
const (
	FieldEgressMin  = "egress-min"
	FieldEgressMax  = "egress-max"
	FieldIngressMin = "ingress-min"
	FieldIngressMax = "ingress-max"
)

// Bounds of each rate in bits per second, those of upstream's annotations.
const (
	MinRate = 1_000
	MaxRate = 1_000_000_000_000_000
)

// ContainerAnnotation returns the key that sets a field of one container or init
// container. A key has at most 63 characters behind its slash, so the name of
// the container has at most 41; a [BandwidthPolicy] reaches the others.
func ContainerAnnotation(container, field string) string {
	return AnnotationContainerPrefix + container + "." + field
}

// SplitAnnotation takes a key with [AnnotationPrefix] apart: the container, or ""
// for the pod, and one of the fields. It is not ok for keys that nobody reads.
func SplitAnnotation(key string) (container, field string, ok bool) {
	field, ok = strings.CutPrefix(key, AnnotationPrefix)
	if !ok {
		return "", "", false
	}
	if rest, found := strings.CutPrefix(field, "container."); found {
		if container, field, ok = strings.Cut(rest, "."); !ok || container == "" {
			return "", "", false
		}
	}
	switch field {
	case FieldEgressMin, FieldEgressMax, FieldIngressMin, FieldIngressMax:
		return container, field, true
	}
	return "", "", false
}
