package addons

import (
	"context"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
)

// cluster is what objects are applied to.
type cluster struct {
	client dynamic.Interface
	mapper meta.ResettableRESTMapper
}

// rank brings what others need to the front; the rest keeps its order.
func rank(o *unstructured.Unstructured) int {
	switch o.GetKind() {
	case "Namespace":
		return 0
	case "CustomResourceDefinition":
		return 1
	}
	return 2
}

func inOrder(objects []*unstructured.Unstructured) []*unstructured.Unstructured {
	sorted := slices.Clone(objects)
	slices.SortStableFunc(sorted, func(a, b *unstructured.Unstructured) int { return rank(a) - rank(b) })
	return sorted
}

// refOf names o as it will be stored. A kind that is not known (yet) keeps the
// namespace as written.
func (c cluster) refOf(o *unstructured.Unstructured) ref {
	gvk := o.GroupVersionKind()
	r := ref{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind, Namespace: o.GetNamespace(), Name: o.GetName()}
	if m, err := c.mapping(r); err == nil {
		switch {
		case m.Scope.Name() == meta.RESTScopeNameRoot:
			r.Namespace = ""
		case r.Namespace == "":
			r.Namespace = metav1.NamespaceDefault
		}
	}
	return r
}

// mapping asks the cluster again once when it does not know the kind: its
// definition may just have been applied.
func (c cluster) mapping(r ref) (*meta.RESTMapping, error) {
	m, err := c.mapper.RESTMapping(r.gvk().GroupKind(), r.Version)
	if meta.IsNoMatchError(err) {
		c.mapper.Reset()
		m, err = c.mapper.RESTMapping(r.gvk().GroupKind(), r.Version)
	}
	return m, err
}

func (c cluster) api(r ref) (dynamic.ResourceInterface, error) {
	m, err := c.mapping(r)
	if err != nil {
		return nil, err
	}
	if r.Namespace == "" {
		return c.client.Resource(m.Resource), nil
	}
	return c.client.Resource(m.Resource).Namespace(r.Namespace), nil
}

// apply makes o be as written, owned by owner. claimed tells which other owner,
// if any, rightly has it.
func (c cluster) apply(ctx context.Context, o *unstructured.Unstructured, owner string, claimed func(owner string, r ref) bool) error {
	r := c.refOf(o)
	api, err := c.api(r)
	if err != nil {
		return fmt.Errorf("%s: %w", r, err)
	}
	live, err := api.Get(ctx, r.Name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("%s: %w", r, err)
	}
	if err == nil {
		if other := live.GetLabels()[OwnerLabel]; other != "" && other != owner && claimed(other, r) {
			return fmt.Errorf("%s: belongs to another manifest (record %s): keep it in one file only", r, other)
		}
	}
	want := o.DeepCopy()
	want.SetNamespace(r.Namespace)
	labels := want.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[OwnerLabel] = owner
	want.SetLabels(labels)
	// Fields of the live object that an export carries have no place here.
	for _, field := range []string{"managedFields", "resourceVersion", "uid", "creationTimestamp", "generation"} {
		unstructured.RemoveNestedField(want.Object, "metadata", field)
	}
	if _, err := api.Apply(ctx, r.Name, want, metav1.ApplyOptions{FieldManager: FieldManager, Force: true}); err != nil {
		return fmt.Errorf("%s: %w", r, err)
	}
	return nil
}

// applyAll applies every object, also when some cannot be.
func (c cluster) applyAll(ctx context.Context, f *file, claimed func(owner string, r ref) bool) error {
	var errs []error
	for _, o := range inOrder(f.objects) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		errs = append(errs, c.apply(ctx, o, recordName(f.name), claimed))
	}
	return errors.Join(errs...)
}

// prune deletes r when owner still has it. What is gone already is fine.
func (c cluster) prune(ctx context.Context, r ref, owner string) error {
	api, err := c.api(r)
	if meta.IsNoMatchError(err) {
		return nil // its definition is gone, and it with it
	}
	if err != nil {
		return fmt.Errorf("prune %s: %w", r, err)
	}
	live, err := api.Get(ctx, r.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("prune %s: %w", r, err)
	}
	if live.GetLabels()[OwnerLabel] != owner {
		return nil
	}
	uid, background := live.GetUID(), metav1.DeletePropagationBackground
	err = api.Delete(ctx, r.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &uid}, PropagationPolicy: &background,
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("prune %s: %w", r, err)
	}
	return nil
}
