package addons

import (
	"context"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// maxEventMessage is the apiserver's limit for an event's message, in bytes.
const maxEventMessage = 1024

// event tells the cluster about a manifest, on the record of its file. That an
// event is lost changes nothing, so its error is only debugging material.
func (m *Manifests) event(ctx context.Context, c cluster, file, kind, reason, message string) {
	if file == "" {
		return
	}
	message = file + ": " + message
	message = strings.ToValidUTF8(message[:min(len(message), maxEventMessage)], "")
	now := time.Now().UTC().Format(time.RFC3339)
	e := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Event",
		"metadata": map[string]any{"generateName": recordName(file) + "-", "namespace": recordNamespace},
		"involvedObject": map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "namespace": recordNamespace, "name": recordName(file),
		},
		"type": kind, "reason": reason, "message": message,
		"source": map[string]any{"component": "kedge-manifests"}, "reportingComponent": "kedge-manifests", "reportingInstance": "server",
		"firstTimestamp": now, "lastTimestamp": now, "count": int64(1),
	}}
	events := schema.GroupVersionResource{Version: "v1", Resource: "events"}
	if _, err := c.client.Resource(events).Namespace(recordNamespace).Create(ctx, e, metav1.CreateOptions{}); err != nil {
		m.cfg.Log.Debug("event not recorded", "file", file, "err", err)
	}
}

func sortErrors(errs []error) {
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
}
