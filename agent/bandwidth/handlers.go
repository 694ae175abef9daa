package bandwidth

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/kedge-io/kedge/agent/bandwidth/snapshot"
)

// Handlers answer kedge bandwidth, by path.
func (b *Bandwidth) Handlers() map[string]http.Handler {
	return map[string]http.Handler{
		snapshot.PathStatus: http.HandlerFunc(b.serveStatus),
		snapshot.PathPlan:   http.HandlerFunc(b.servePlan),
		snapshot.PathCheck:  http.HandlerFunc(b.serveCheck),
	}
}

// current is the latest pass; nil, and the request answered, before the first.
func (b *Bandwidth) current(w http.ResponseWriter) *applied {
	now := b.now.Load()
	if now == nil {
		http.Error(w, "nothing is planned yet: the container runtime has not said what runs on this node", http.StatusServiceUnavailable)
	}
	return now
}

func (b *Bandwidth) serveStatus(w http.ResponseWriter, _ *http.Request) {
	if b.current(w) == nil {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(b.Snapshot()) // the client is gone: nobody to tell
}

func (b *Bandwidth) servePlan(w http.ResponseWriter, _ *http.Request) {
	if now := b.current(w); now != nil {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprint(w, now.plan)
	}
}

func (b *Bandwidth) serveCheck(w http.ResponseWriter, _ *http.Request) {
	now := b.current(w)
	if now == nil {
		return
	}
	lines, err := b.parts.Kernel.Differences(now.plan)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	for _, line := range lines {
		fmt.Fprintln(w, line)
	}
}
