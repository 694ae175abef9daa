package policy

import (
	"fmt"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// Pod is what decides about its bandwidth.
type Pod struct {
	Namespace, Name, UID string
	Labels, Annotations  map[string]string
	// Containers are the names of containers and init containers.
	Containers []string
}

// Wanted is what a pod is to get.
type Wanted struct {
	Limits   model.Limits
	Priority model.Priority
	// Containers are those that have limits of their own.
	Containers map[string]model.Limits
	// From tells for each field, as [Field.String] writes it, and for "priority"
	// where it comes from; nothing for what nobody said.
	From map[string]Source
	// Policies are those that choose the pod, the strongest first.
	Policies []Match
}

// PriorityField is the key of the priority in [Wanted.From] and its [Problem].
const PriorityField = "priority"

// Source is where a field comes from: an annotation's key, or a policy as
// NAMESPACE/NAME.
type Source struct {
	Annotation string `json:"annotation,omitempty"`
	Policy     string `json:"policy,omitempty"`
}

// String names the source for people.
func (s Source) String() string {
	switch {
	case s.Annotation != "":
		return "annotation " + s.Annotation
	case s.Policy != "":
		return "BandwidthPolicy " + s.Policy
	}
	return "nobody"
}

// Match is a policy that chooses the pod.
type Match struct {
	Namespace, Name, UID string
	Generation           int64
	// Overridden tells that the pod follows somebody else in some field, Conflict
	// that this is a policy of the same rank.
	Overridden, Conflict bool
	// Refused tells that a field of it counts for nothing although nobody
	// overrides it: it contradicts a stronger one.
	Refused bool
}

// Problem is something that a person should mend; the pod runs all the same.
type Problem struct {
	Source Source
	// Field is the key's part behind the prefix, or "priority"; empty where the
	// source as a whole is meant.
	Field string
	// Reason is one of the reasons of refusals in package v1alpha1.
	Reason string
	// Message is a sentence with the key, the value and what would be right.
	Message string
}

// Field is one thing that can be said about a pod or, with Container, about one
// of its containers.
type Field struct {
	Container string
	Direction model.Direction
	// Max is the ceiling, else it is the guarantee.
	Max bool
}

// String is what annotations call it: "egress-max", "container.web.ingress-min".
func (f Field) String() string {
	name := f.word()
	if f.Container != "" {
		return "container." + f.Container + "." + name
	}
	return name
}

func (f Field) word() string {
	switch {
	case f.Direction == model.Egress && f.Max:
		return v1alpha1.FieldEgressMax
	case f.Direction == model.Egress:
		return v1alpha1.FieldEgressMin
	case f.Max:
		return v1alpha1.FieldIngressMax
	}
	return v1alpha1.FieldIngressMin
}

// fieldOf is the field of an annotation's parts.
func fieldOf(container, word string) Field {
	f := Field{Container: container, Direction: model.Ingress}
	if word == v1alpha1.FieldEgressMin || word == v1alpha1.FieldEgressMax {
		f.Direction = model.Egress
	}
	f.Max = word == v1alpha1.FieldEgressMax || word == v1alpha1.FieldIngressMax
	return f
}

// said is that a source wants a rate for a field.
type said struct {
	rate bitrate.Rate
	from Source
	// rank orders sources, the lower counts more.
	rank rank
	// match is the index of the policy among those of the pod; -1 for annotations.
	match int
}

type rank int

const (
	rankAnnotation rank = iota
	rankUpstream
	rankSelector
	rankDefault
)

// stronger tells whether s counts more than other: of two policies of the same
// rank the one that comes first.
func (s said) stronger(other said) bool {
	if s.rank != other.rank {
		return s.rank < other.rank
	}
	return s.match < other.match
}

// resolver decides for one pod.
type resolver struct {
	pod      Pod
	fields   map[Field][]said // strongest first
	priority []said
	wanted   Wanted
	problems []Problem
}

func (r *resolver) problem(from Source, field, reason, format string, args ...any) {
	r.problems = append(r.problems, Problem{Source: from, Field: field, Reason: reason, Message: fmt.Sprintf(format, args...)})
}
