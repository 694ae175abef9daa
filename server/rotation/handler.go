package rotation

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/kedge-io/kedge/server/certs"
)

// Path is where the status socket answers: GET gives a [Report], POST with the
// parameter "step", and "force" if need be, does a step and gives one, too.
const Path = "/certificates/rotation"

// Handler answers at the status socket.
func (r *Rotation) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var report Report
		var err error
		switch req.Method {
		case http.MethodGet:
			report, err = r.Report(req.Context())
		case http.MethodPost:
			query := req.URL.Query()
			report, err = r.Step(req.Context(), query.Get("step"), query.Has("force"))
		default:
			http.Error(w, "GET or POST only", http.StatusMethodNotAllowed)
			return
		}
		switch {
		case errors.Is(err, ErrNotReady), errors.Is(err, certs.ErrPhase):
			http.Error(w, err.Error(), http.StatusConflict)
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
		default:
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(report) // the client is gone: nobody to tell
		}
	})
}
