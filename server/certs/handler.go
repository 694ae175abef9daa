package certs

import "net/http"

// PathRotate is where the status socket of a server issues new leaves (POST; with
// the parameter "new-keys" for new keys).
const PathRotate = "/certificates/rotate"

// RotateHandler is [Keeper.Rotate] for the status socket.
func (k *Keeper) RotateHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			http.Error(w, "POST only", http.StatusMethodNotAllowed)
			return
		}
		if err := k.Rotate(r.URL.Query().Has("new-keys")); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
}
