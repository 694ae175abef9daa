package tunnel_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/access"
)

func TestAServerAsksANodeAboutItself(t *testing.T) {
	a := newAuthority(t)
	srv := startServer(t, a, "127.0.0.1:0", nil)
	cfg := nodeConfig(t, a, nodeNames("edge-1"), srv.addr, access.Rules{})
	cfg.Status = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s at %s", r.Method, r.URL)
		_, _ = w.Write(make([]byte, 1<<20))
	})
	startNode(t, cfg).waitReady(t)
	// More than a node serves at a time, one after another: none is left open.
	for range 20 {
		status, body := ask(t, srv, http.MethodGet)
		if status != http.StatusOK || !strings.HasPrefix(body, "GET at /bandwidth/status?x=1") || len(body) < 1<<20 {
			t.Fatalf("got %d and %d bytes: %.60s", status, len(body), body)
		}
	}
	if status, body := ask(t, srv, http.MethodPost); status != http.StatusMethodNotAllowed {
		t.Errorf("got %d: %s", status, body)
	}
}

func ask(t *testing.T, srv *server, method string) (int, string) {
	t.Helper()
	conn, err := srv.hub.DialStatus(t.Context(), "edge-1")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	req, err := http.NewRequest(method, "http://node/bandwidth/status?x=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	if err := req.Write(conn); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestANodeThatTellsNothingRefuses(t *testing.T) {
	a := newAuthority(t)
	srv := startServer(t, a, "127.0.0.1:0", nil)
	startNode(t, nodeConfig(t, a, nodeNames("edge-1"), srv.addr, access.Rules{})).waitReady(t)
	_, err := srv.hub.DialStatus(t.Context(), "edge-1")
	if refused := new(tunnel.RefusedError); !errors.As(err, &refused) || refused.Kind != tunnel.RefusedAccess {
		t.Errorf("got %v", err)
	}
}
