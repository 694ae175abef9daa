package addons

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

const (
	// OwnerLabel is on every applied object and on the records; its value is
	// the name of the record of the file that the object came from.
	OwnerLabel = "manifests.kedge.io/owner"
	// FieldManager is the name under which fields are applied.
	FieldManager = "kedge"

	recordNamespace = "kube-system"
	recordPrefix    = "kedge-manifest-"
)

var configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

// ref names one object.
type ref struct {
	Group     string `json:"group,omitempty"`
	Version   string `json:"version"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

func (r ref) gvk() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: r.Group, Version: r.Version, Kind: r.Kind}
}

func (r ref) String() string {
	name := r.Name
	if r.Namespace != "" {
		name = r.Namespace + "/" + name
	}
	return r.Kind + " " + name
}

// key ignores the version: it may change for the same object.
func (r ref) key() ref {
	r.Version = ""
	return r
}

// record is what a file owned when it was last handled.
type record struct {
	file    string
	refs    []ref
	version string // resourceVersion, against a second writer
	stored  bool   // false for a file that is seen for the first time
}

// recordName fits a label and an object name, and tells people the file.
func recordName(file string) string {
	sum := sha256.Sum256([]byte(file))
	slug := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, strings.ToLower(strings.TrimSuffix(file, path.Ext(file))))
	slug = strings.Trim(slug[:min(len(slug), 36)], "-")
	return recordPrefix + strings.Trim(slug+"-"+hex.EncodeToString(sum[:4]), "-")
}

// records are the bookkeeping in the cluster.
type records struct{ client dynamic.Interface }

func (s records) load(ctx context.Context) (map[string]*record, error) {
	list, err := s.client.Resource(configMaps).Namespace(recordNamespace).List(ctx, metav1.ListOptions{LabelSelector: OwnerLabel})
	if err != nil {
		return nil, fmt.Errorf("list manifest records: %w", err)
	}
	all := map[string]*record{}
	for _, item := range list.Items {
		if !strings.HasPrefix(item.GetName(), recordPrefix) || item.GetLabels()[OwnerLabel] != item.GetName() {
			continue // an applied ConfigMap, not a record
		}
		r, err := decodeRecord(&item)
		if err != nil {
			return nil, err
		}
		all[r.file] = r
	}
	return all, nil
}

func decodeRecord(o *unstructured.Unstructured) (*record, error) {
	file, _, _ := unstructured.NestedString(o.Object, "data", "file")
	raw, _, _ := unstructured.NestedString(o.Object, "data", "objects")
	r := &record{file: file, version: o.GetResourceVersion(), stored: true}
	if err := json.Unmarshal([]byte(raw), &r.refs); err != nil || file == "" || recordName(file) != o.GetName() {
		return nil, fmt.Errorf("manifest record %s/%s was changed by hand and cannot be read: delete it (its objects then stay)", o.GetNamespace(), o.GetName())
	}
	return r, nil
}

// save stores r when it differs from what is stored.
func (s records) save(ctx context.Context, r *record, refs []ref) error {
	refs = sortRefs(refs)
	if r.stored && slices.Equal(sortRefs(r.refs), refs) {
		return nil
	}
	raw, err := json.Marshal(refs)
	if err != nil {
		return fmt.Errorf("manifest record of %s: %w", r.file, err)
	}
	name := recordName(r.file)
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{
			"name": name, "namespace": recordNamespace,
			"labels": map[string]any{OwnerLabel: name},
		},
		"data": map[string]any{"file": r.file, "objects": string(raw)},
	}}
	api := s.client.Resource(configMaps).Namespace(recordNamespace)
	var stored *unstructured.Unstructured
	if !r.stored {
		stored, err = api.Create(ctx, o, metav1.CreateOptions{FieldManager: FieldManager})
	} else {
		o.SetResourceVersion(r.version)
		stored, err = api.Update(ctx, o, metav1.UpdateOptions{FieldManager: FieldManager})
	}
	if err != nil {
		return fmt.Errorf("save manifest record %s: %w", name, err)
	}
	r.refs, r.version, r.stored = refs, stored.GetResourceVersion(), true
	return nil
}

func (s records) remove(ctx context.Context, r *record) error {
	err := s.client.Resource(configMaps).Namespace(recordNamespace).Delete(ctx, recordName(r.file), metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("remove manifest record %s: %w", recordName(r.file), err)
	}
	return nil
}

func sortRefs(refs []ref) []ref {
	set := map[ref]ref{}
	for _, r := range refs {
		set[r.key()] = r
	}
	return slices.SortedFunc(maps.Values(set), func(a, b ref) int {
		return strings.Compare(fmt.Sprint(a.key()), fmt.Sprint(b.key()))
	})
}
