package netpol

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// query asks for pods: those of one namespace, or of the namespaces that a
// selector chooses, that a selector chooses.
type query struct {
	namespace  string
	namespaces labels.Selector // instead of namespace
	pods       labels.Selector
}

// key is the same for queries that ask for the same.
func (q query) key() string {
	if q.namespaces != nil {
		return "in {" + q.namespaces.String() + "}: " + q.pods.String()
	}
	return "in " + q.namespace + ": " + q.pods.String()
}

// selectorOf chooses nothing where it is not valid: the API server lets no such
// selector in.
func selectorOf(s *metav1.LabelSelector) labels.Selector {
	sel, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return labels.Nothing()
	}
	return sel
}

// find are the pods that the query asks for. The list must not be changed.
func (ix *index) find(q query) []int32 {
	key := q.key()
	if found, ok := ix.matched[key]; ok {
		return found
	}
	inside := ix.inside(q)
	from, exact := ix.candidates(q)
	var found []int32
	for _, n := range from {
		p := &ix.pods[n]
		if inside[p.ns] && (exact || q.pods.Matches(labels.Set(p.Labels))) {
			found = append(found, n)
		}
	}
	ix.matched[key] = found
	return found
}

// inside tells which namespaces the query is about.
func (ix *index) inside(q query) []bool {
	in := make([]bool, len(ix.namespaces))
	if q.namespaces == nil {
		if n, ok := ix.numbers[q.namespace]; ok {
			in[n] = true
		}
		return in
	}
	for n, set := range ix.namespaces {
		in[n] = q.namespaces.Matches(set)
	}
	return in
}

// candidates is the shortest list that has all pods of the query; exact tells
// that all in it have the right labels.
func (ix *index) candidates(q query) (list []int32, exact bool) {
	list = ix.all
	if q.namespaces == nil {
		list = nil
		if n, ok := ix.numbers[q.namespace]; ok {
			list = ix.byNS[n]
		}
	}
	wants, selectable := q.pods.Requirements()
	if !selectable {
		return nil, true
	}
	for _, want := range wants {
		value, ok := only(want)
		if !ok {
			continue
		}
		if with := ix.byLabel[label{want.Key(), value}]; len(with) <= len(list) {
			list, exact = with, len(wants) == 1
		}
	}
	return list, exact || len(wants) == 0
}

// only is the one value that a requirement lets pass, if it is such a one.
func only(r labels.Requirement) (string, bool) {
	switch r.Operator() {
	case selection.Equals, selection.DoubleEquals, selection.In:
		values := r.Values()
		if len(values) == 1 {
			return values.UnsortedList()[0], true
		}
	}
	return "", false
}

// keyOf is the key of several queries and words, in any order.
func keyOf(parts ...string) string { return strings.Join(parts, "\x00") }
