package support

import (
	"slices"
	"strings"
)

// Kind is a collection of the API and what of its objects is taken.
type Kind struct {
	// Name is that of the part, Path that of the API.
	Name, Path string
	// Spec names the fields of spec that are taken, "*" for all; Top those beside
	// metadata, spec and status. Status is taken whole if Status is set.
	Spec, Top []string
	Status    bool
}

// Kinds are the objects that matter to whoever helps. Secrets and ConfigMaps are not
// among them.
func Kinds() []Kind {
	all := []string{"*"}
	pods := []string{"nodeName", "hostNetwork", "restartPolicy", "dnsPolicy", "schedulerName", "tolerations", "nodeSelector", "priority", "serviceAccountName", "containers", "initContainers"}
	workload := []string{"replicas", "selector", "strategy", "updateStrategy", "paused"}
	return []Kind{
		{Name: "nodes", Path: "/api/v1/nodes", Spec: all, Status: true},
		{Name: "namespaces", Path: "/api/v1/namespaces", Spec: all, Status: true},
		{Name: "pods", Path: "/api/v1/pods", Spec: pods, Status: true},
		{Name: "services", Path: "/api/v1/services", Spec: all, Status: true},
		{Name: "events", Path: "/api/v1/events", Top: []string{"involvedObject", "reason", "message", "type", "count", "firstTimestamp", "lastTimestamp", "source"}},
		{Name: "endpointslices", Path: "/apis/discovery.k8s.io/v1/endpointslices", Top: []string{"endpoints", "ports", "addressType"}},
		{Name: "networkpolicies", Path: "/apis/networking.k8s.io/v1/networkpolicies", Spec: all},
		{Name: "deployments", Path: "/apis/apps/v1/deployments", Spec: workload, Status: true},
		{Name: "daemonsets", Path: "/apis/apps/v1/daemonsets", Spec: workload, Status: true},
		{Name: "statefulsets", Path: "/apis/apps/v1/statefulsets", Spec: workload, Status: true},
		{Name: "jobs", Path: "/apis/batch/v1/jobs", Spec: []string{"parallelism", "completions", "backoffLimit", "suspend"}, Status: true},
		{Name: "persistentvolumeclaims", Path: "/api/v1/persistentvolumeclaims", Spec: []string{"storageClassName", "accessModes", "resources", "volumeName"}, Status: true},
		{Name: "apiservices", Path: "/apis/apiregistration.k8s.io/v1/apiservices", Spec: []string{"service", "group", "version"}, Status: true},
		{Name: "leases", Path: "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", Spec: all},
		{Name: "edgefirewalls", Path: "/apis/edge.kedge.io/v1alpha1/edgefirewalls", Spec: all, Status: true},
		{Name: "addresssets", Path: "/apis/edge.kedge.io/v1alpha1/addresssets", Spec: all, Status: true},
		{Name: "bandwidthpolicies", Path: "/apis/edge.kedge.io/v1alpha1/bandwidthpolicies", Spec: all, Status: true},
		{Name: "nodebandwidths", Path: "/apis/edge.kedge.io/v1alpha1/nodebandwidths", Spec: all, Status: true},
	}
}

// fields of containers that are taken: no variables, commands, arguments or probes,
// whose headers may have credentials.
var containerFields = []string{"name", "image", "imagePullPolicy", "ports", "resources", "restartPolicy", "volumeMounts"}

// annotations are taken where their name has one of these ends of domains: others are
// people's own, and the configuration that kubectl notes is the object once more.
func ownAnnotation(name string) bool {
	domain, _, ok := strings.Cut(name, "/")
	return ok && domain != "kubectl.kubernetes.io" &&
		(strings.HasSuffix(domain, "kedge.io") || strings.HasSuffix(domain, "kubernetes.io") || strings.HasSuffix(domain, "k8s.io"))
}

// Objects takes of a list, as the API answers it, what the kind names.
func (k Kind) Objects(list map[string]any) []map[string]any {
	items, _ := list["items"].([]any)
	out := make([]map[string]any, 0, len(items))
	for _, i := range items {
		if o, ok := i.(map[string]any); ok {
			out = append(out, k.object(o))
		}
	}
	return out
}

func (k Kind) object(o map[string]any) map[string]any {
	out := map[string]any{"metadata": metadata(o["metadata"])}
	for _, name := range k.Top {
		if v, ok := o[name]; ok {
			out[name] = v
		}
	}
	if spec, ok := o["spec"].(map[string]any); ok && len(k.Spec) > 0 {
		out["spec"] = k.spec(spec)
	}
	if v, ok := o["status"]; ok && k.Status {
		out["status"] = v
	}
	strip(out)
	return out
}

// never are fields that are taken from nowhere, however deep they are.
var never = []string{"env", "envFrom", "args", "command", "httpHeaders", "data", "stringData", "binaryData", "password", "secret"}

func strip(v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, child := range v {
			if slices.Contains(never, name) {
				delete(v, name)
				continue
			}
			strip(child)
		}
	case []any:
		for _, child := range v {
			strip(child)
		}
	}
}

func (k Kind) spec(spec map[string]any) map[string]any {
	if k.Spec[0] == "*" {
		return spec
	}
	out := only(spec, k.Spec)
	for _, name := range []string{"containers", "initContainers"} {
		list, _ := out[name].([]any)
		for i, c := range list {
			if container, ok := c.(map[string]any); ok {
				list[i] = only(container, containerFields)
			}
		}
	}
	return out
}

func metadata(m any) map[string]any {
	all, _ := m.(map[string]any)
	out := only(all, []string{"name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "labels", "ownerReferences", "finalizers"})
	if annotations, ok := all["annotations"].(map[string]any); ok {
		kept := map[string]any{}
		for name, v := range annotations {
			if ownAnnotation(name) {
				kept[name] = v
			}
		}
		out["annotations"] = kept
	}
	return out
}

func only(m map[string]any, names []string) map[string]any {
	out := map[string]any{}
	for name, v := range m {
		if slices.Contains(names, name) {
			out[name] = v
		}
	}
	return out
}
