package server

import (
	"encoding/json"
	"net/http"
)

// restores tells nodes what restores have undone ([wire.PathRestores]). Whether
// they are still nodes of the cluster is not asked: it is for those that the
// cluster has forgotten.
func (s *Server) restores(w http.ResponseWriter, r *http.Request) {
	if _, err := s.join.AuthorizeNode(r); err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s.store.Undone()) // the client is gone: nobody to tell
}
