//go:build namespace

package dns

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// fakeAPI answers the lists and watches of the kubernetes plugin with one
// service, and returns the kubeconfig for it.
func fakeAPI(t *testing.T) string {
	kind := func(k, v string) metav1.TypeMeta { return metav1.TypeMeta{Kind: k, APIVersion: v} }
	meta := metav1.ListMeta{ResourceVersion: "1"}
	named := func(ns, name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: ns, Name: name, ResourceVersion: "1"}
	}
	service := corev1.Service{ObjectMeta: named("default", "kubernetes")}
	service.Spec.ClusterIP, service.Spec.ClusterIPs = "10.43.0.1", []string{"10.43.0.1"}
	service.Spec.Type = corev1.ServiceTypeClusterIP
	service.Spec.Ports = []corev1.ServicePort{{Name: "https", Port: 443, Protocol: corev1.ProtocolTCP}}
	lists := map[string]any{
		"/api/v1/services":   corev1.ServiceList{TypeMeta: kind("ServiceList", "v1"), ListMeta: meta, Items: []corev1.Service{service}},
		"/api/v1/namespaces": corev1.NamespaceList{TypeMeta: kind("NamespaceList", "v1"), ListMeta: meta, Items: []corev1.Namespace{{ObjectMeta: named("", "default")}}},
		"/apis/discovery.k8s.io/v1/endpointslices": discoveryv1.EndpointSliceList{
			TypeMeta: kind("EndpointSliceList", "discovery.k8s.io/v1"), ListMeta: meta},
	}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		list, ok := lists[r.URL.Path]
		switch {
		case !ok:
			w.WriteHeader(http.StatusNotFound)
		case r.URL.Query().Get("sendInitialEvents") != "":
			// As an API server that does not stream lists.
			w.WriteHeader(http.StatusUnprocessableEntity)
			status := metav1.Status{TypeMeta: kind("Status", "v1"), Status: "Failure", Reason: metav1.StatusReasonInvalid, Code: http.StatusUnprocessableEntity}
			_ = json.NewEncoder(w).Encode(status)
		case r.URL.Query().Get("watch") != "":
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		default:
			_ = json.NewEncoder(w).Encode(list)
		}
	}))
	t.Cleanup(func() {
		api.CloseClientConnections()
		api.Close()
	})
	file := filepath.Join(t.TempDir(), "kubeconfig")
	write(t, file, strings.ReplaceAll(`apiVersion: v1
kind: Config
clusters: [{name: a, cluster: {server: "URL"}}]
users: [{name: a, user: {}}]
contexts: [{name: a, context: {cluster: a, user: a}}]
current-context: a
`, "URL", api.URL))
	return file
}
