package logx

import (
	"log/slog"
	"strings"
)

// harmless are messages of libraries, most of them errors by their own level,
// that a healthy node prints at a start, at a stop or in ordinary use. They are
// printed with --debug only. An entry applies where the message begins with
// message and the text of the error holds one of errs; without errs, always.
// Whoever adds one says what it really means: an entry that is too wide hides a
// trouble.
var harmless = []struct {
	message string
	errs    []string
}{
	// kube-apiserver, controller-manager, scheduler: no list of metrics labels
	// was given, which is the default.
	{message: "The manifest file is empty, ignoring."},
	// Upstream opens and closes the store of a kind that this version has
	// removed.
	{message: "failed to sync with latest state: context canceled"},
	// Said at every start of the only server.
	{message: "Found stale data, removed previous endpoints on kubernetes service"},
	// The first namespaces are being made.
	{message: "Error while syncing ConfigMap", errs: []string{`namespaces "kube-system" not found`}},

	// The node's range of addresses was given a moment ago and is not in the
	// allocator's cache yet; its second choice is refused and given back.
	{message: "Failed to update node PodCIDR after multiple attempts", errs: []string{hasRange}},
	{message: "CIDR assignment for node failed. Releasing allocated CIDR", errs: []string{hasRange}},
	{message: "Error processing node work item", errs: []string{hasRange}},

	// kubelet registers the node while its other parts look for it already.
	{message: "Unable to register mirror pod because node is not registered yet"},
	{message: "Error getting the current node from lister", errs: []string{"not found"}},
	{message: "Failed to get node when trying to set owner ref to the node lease", errs: []string{"not found"}},
	{message: "Error updating node status, will retry", errs: []string{"not found"}},
	{message: "Eviction manager: failed to get summary stats", errs: []string{"failed to get node info"}},
	// kubelet has not yet looked at the containers, the images or its files.
	{message: "Skipping pod synchronization", errs: []string{"yet to be successful", "may not have completed yet"}},
	{message: "Image garbage collection failed once. Stats initialization may not have completed yet"},
	{message: "Failed to read data from checkpoint", errs: []string{"checkpoint is not found"}},
	// A hint for nodes whose images are on another disk.
	{message: "eviction manager: failed to check if we have separate container filesystem. Ignoring."},
	// A pod was bound a moment ago, and the authorizer has not seen it yet;
	// kubelet asks again.
	{message: "Failed to get status for pod", errs: []string{"no relationship found between node"}},
	{message: "Failed to watch", errs: []string{"no relationship found between node"}},
	// kube-proxy looks for its table before it has made it.
	{message: "Failed to list existing nftables objects", errs: []string{"No such file or directory"}},
	// A pod ended while its cgroups were read.
	{message: "failed to read memory cgroup", errs: []string{"no such file or directory"}},

	// The end of kubectl exec, attach and port-forward.
	{message: "Error on socket receive", errs: []string{"use of closed network connection"}},
	{message: "Error proxying data from client to backend", errs: []string{"close 1006", "connection reset by peer", "broken pipe"}},
	{message: "Error proxying data from backend to client", errs: []string{"close 1006", "connection reset by peer", "broken pipe"}},
}

// hasRange is how the API refuses a second range for a node.
const hasRange = `node updates may not change podCIDR except from "" to valid`

// localAPI is in the text of errors of requests through the node's own API
// endpoint (agent/apilb) that got no answer. The endpoint itself says, once,
// when the servers are out of reach and when they are back; what dozens of
// watches say about that on top is not worth a line each.
const localAPI = `https://127.0.0.1:6444/`

// isHarmless tells whether a library's record is for --debug only.
func isHarmless(r slog.Record) bool {
	// remotedialer, about a session that has ended for a reason that the tunnel
	// tells in its own words.
	if strings.HasSuffix(r.Message, "to close remotedialer") {
		return true
	}
	err := errorOf(r)
	if strings.Contains(err, localAPI) {
		return true
	}
	for _, h := range harmless {
		if strings.HasPrefix(r.Message, h.message) && (len(h.errs) == 0 || containsAny(err, h.errs)) {
			return true
		}
	}
	return false
}

// errorOf is the text of a record's error, which klog calls err.
func errorOf(r slog.Record) string {
	text := ""
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "err" || a.Key == "error" {
			text = a.Value.String()
		}
		return text == ""
	})
	return text
}

func containsAny(s string, parts []string) bool {
	for _, p := range parts {
		if strings.Contains(s, p) {
			return true
		}
	}
	return false
}
