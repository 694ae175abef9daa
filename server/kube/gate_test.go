package kube

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestGateHoldsOthersBackUntilItOpens(t *testing.T) {
	var g gate
	h := g.wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	ask := func(path, serverName string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.TLS = &tls.ConnectionState{ServerName: serverName}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	if w := ask("/api/v1/nodes", "kubernetes"); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("a node's request got %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	for path, name := range map[string]string{"/readyz": "", "/api/v1/namespaces": "apiserver-loopback-client"} {
		if w := ask(path, name); w.Code != http.StatusNoContent {
			t.Errorf("%s of %q got %d", path, name, w.Code)
		}
	}
	g.open.Store(true)
	if w := ask("/api/v1/nodes", "kubernetes"); w.Code != http.StatusNoContent {
		t.Errorf("after the start a node's request got %d", w.Code)
	}
}
