package server

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/kedge-io/kedge/tunnel"
)

// maxAnswer bounds what a node says to one question, in bytes.
const maxAnswer = 4 << 20

// AskNodes are handlers for the status socket that answer questions about
// nodes: the parameter "node" names the one that is asked through its link.
// Without it, or with the server's own node, the answer is that of own.
func (s *Server) AskNodes(own map[string]http.Handler, paths ...string) map[string]http.Handler {
	return askNodes(s.localNode(), own, s.hub.DialStatus, paths...)
}

type dialStatus func(ctx context.Context, node tunnel.NodeName) (net.Conn, error)

func askNodes(local string, own map[string]http.Handler, dial dialStatus, paths ...string) map[string]http.Handler {
	handlers := map[string]http.Handler{}
	for _, path := range paths {
		handlers[path] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			node := r.URL.Query().Get("node")
			switch h := own[path]; {
			case node != "" && node != local:
				forward(w, r, dial, tunnel.NodeName(node))
			case h != nil:
				h.ServeHTTP(w, r)
			default:
				http.Error(w, "this server runs no node: name one with --node", http.StatusNotFound)
			}
		})
	}
	return handlers
}

// forward asks the node the same.
func forward(w http.ResponseWriter, r *http.Request, dial dialStatus, node tunnel.NodeName) {
	client := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dial(ctx, node)
	}}
	defer client.CloseIdleConnections()
	u := url.URL{Scheme: "http", Host: "node", Path: r.URL.Path, RawQuery: r.URL.RawQuery}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, u.String(), nil)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	resp, err := client.RoundTrip(req)
	if err != nil {
		http.Error(w, fmt.Sprintf("ask the node: %v", err), http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, io.LimitReader(resp.Body, maxAnswer)) // one of both is gone: nobody to tell
}
