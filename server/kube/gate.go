package kube

import (
	"net/http"
	"slices"
	"sync/atomic"

	genericapiserver "k8s.io/apiserver/pkg/server"
)

// gate keeps nodes and people waiting until the API is ready. Before that the
// authorizers have not read who may do what and answer "forbidden", which a
// client takes for the last word: an agent would give up its watches for
// seconds. The answer of the gate, 503 with Retry-After, client-go follows by
// itself.
type gate struct{ open atomic.Bool }

// probes are the questions that the gate must not answer, because they decide
// when it opens.
var probes = []string{"/readyz", "/livez", "/healthz"}

func (g *gate) wrap(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.open.Load() || fromItself(r) || slices.Contains(probes, r.URL.Path) {
			api.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Retry-After", "1")
		http.Error(w, "the API server is starting", http.StatusServiceUnavailable)
	})
}

// fromItself knows the API server's own requests by the name that its loopback
// client asks for. Nothing is granted by it: authentication comes later.
func fromItself(r *http.Request) bool {
	return r.TLS != nil && r.TLS.ServerName == genericapiserver.LoopbackClientServerNameOverride
}
