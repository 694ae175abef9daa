package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/tunnel"
)

func TestQuestionsGoToTheNodeThatIsNamed(t *testing.T) {
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bandwidth/plan" {
			http.Error(w, "no plan yet", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, "the node's answer to "+r.URL.String())
	}))
	defer node.Close()
	dial := func(ctx context.Context, name tunnel.NodeName) (net.Conn, error) {
		if name != "edge-1" {
			return nil, errors.New("no link to " + string(name))
		}
		return (&net.Dialer{}).DialContext(ctx, "tcp", node.Listener.Addr().String())
	}
	own := map[string]http.Handler{"/bandwidth/status": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "own") })}
	handlers := askNodes("server-1", own, dial, "/bandwidth/status", "/bandwidth/plan")
	for question, want := range map[string]string{
		"/bandwidth/status":               "200 own",
		"/bandwidth/status?node=server-1": "200 own",
		"/bandwidth/status?node=edge-1":   "200 the node's answer to /bandwidth/status?node=edge-1",
		"/bandwidth/plan?node=edge-1":     "503 no plan yet",
		"/bandwidth/status?node=edge-2":   "502 ask the node: no link to edge-2",
		"/bandwidth/plan":                 "404 this server runs no node: name one with --node",
	} {
		path, _, _ := strings.Cut(question, "?")
		w := httptest.NewRecorder()
		handlers[path].ServeHTTP(w, httptest.NewRequest(http.MethodGet, question, nil))
		if got := fmt.Sprint(w.Code, " ", strings.TrimSpace(w.Body.String())); got != want {
			t.Errorf("%s: %s, want %s", question, got, want)
		}
	}
}

func TestTheServersOwnNodeHasNoLinkToMeasure(t *testing.T) {
	reached := errors.New("dialled")
	dial := notItself("server-1", func(context.Context, tunnel.NodeName, tunnel.Target) (net.Conn, error) { return nil, reached })
	if _, err := dial(t.Context(), "server-1", tunnel.TargetEcho); err == nil || !strings.Contains(err.Error(), "own node: it has no link") {
		t.Errorf("got %v", err)
	}
	if _, err := dial(t.Context(), "edge-1", tunnel.TargetEcho); !errors.Is(err, reached) {
		t.Errorf("got %v", err)
	}
}
