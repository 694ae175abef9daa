package main

import (
	"bytes"
	"context"
	"net/http"
	"path/filepath"
	"slices"
	"testing"

	"github.com/kedge-io/kedge/internal/health"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/server/certs"
)

// answering is a daemon at a status socket, for a role; it notes what it was asked for.
func answering(t *testing.T, role string, answers map[string]int) (s socket, asked func() []string) {
	t.Helper()
	var uris []string
	s = socket{dir: "/var/lib/kedge", path: filepath.Join(t.TempDir(), "s")}
	l, err := health.Listen(s.path, "")
	if err != nil {
		t.Fatal(err)
	}
	for path, code := range answers {
		l.Handle(path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			uris = append(uris, r.URL.RequestURI())
			w.WriteHeader(code)
		}))
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Serve(ctx, func() health.Report { return health.Report{Role: role} }) }()
	return s, func() []string {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		return uris
	}
}

func TestRotateRenewsTheServerAndItsNode(t *testing.T) {
	all := map[string]int{certs.PathRotate: http.StatusOK, wire.PathRenewNow: http.StatusNoContent}
	for _, c := range []struct {
		name, role string
		answers    map[string]int
		newKeys    bool
		asked      []string
		says       string
	}{
		{"server", "server", all, true, []string{certs.PathRotate + "?new-keys=true", wire.PathRenewNow + "?new-keys=true"}, "server: new certificates\nnode: new certificates\n"},
		{"agent", "agent", all, false, []string{wire.PathRenewNow}, "node: new certificates\n"},
		{"server without a node", "server", map[string]int{certs.PathRotate: http.StatusOK}, false, []string{certs.PathRotate}, "server: new certificates\n"},
		{"node that cannot", "agent", map[string]int{wire.PathRenewNow: http.StatusBadGateway}, false, []string{wire.PathRenewNow}, ""},
	} {
		s, asked := answering(t, c.role, c.answers)
		var b bytes.Buffer
		err := s.rotate(t.Context(), &b, c.newKeys)
		if got := asked(); !slices.Equal(got, c.asked) || b.String() != c.says || (err == nil) != (c.says != "") {
			t.Errorf("%s: asked for %q, said %q: %v", c.name, got, b.String(), err)
		}
	}
}
