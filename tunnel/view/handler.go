package view

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// Paths of the handlers at a daemon's status socket.
const (
	PathStatus = "/link/status"
	PathBench  = "/link/bench"
)

// StatusHandler answers GET with the report of now as JSON, restricted to one
// link by the parameter "peer". A server's own node has no link.
func StatusHandler(source func() Report) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		report := source()
		if peer := r.URL.Query().Get("peer"); peer != "" {
			link, ok := report.Find(peer)
			if !ok {
				http.Error(w, unknown(report, peer), http.StatusNotFound)
				return
			}
			report.Links = []Link{link}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(report) // the client is gone: nobody to tell
	})
}

func unknown(r Report, peer string) string {
	if r.Role != "server" {
		return fmt.Sprintf("%q is not this node's server: ask without a name for the one link that an agent has", peer)
	}
	return fmt.Sprintf("no link of a node %q since this server started: see the nodes with: kedge link status", peer)
}
