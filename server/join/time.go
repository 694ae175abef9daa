package join

import (
	"net/http"

	"github.com/kedge-io/kedge/internal/wire"
)

// tellTime answers what time it is to anyone, signed by the authorities. One
// answer costs a signature or two, so that it takes a slot as joins do.
func (s *Server) tellTime(w http.ResponseWriter, r *http.Request) {
	nonce := r.URL.Query().Get("nonce")
	if nonce == "" || len(nonce) > wire.MaxNonce {
		writeRefusal(w, refuse(wire.CodeBadRequest, "give a nonce of 1 to %d characters", wire.MaxNonce))
		return
	}
	answer, err := s.signedTime(nonce)
	if err != nil {
		writeRefusal(w, asRefusal(err))
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

// signedTime holds a slot while it signs, not while the client reads.
func (s *Server) signedTime(nonce string) (*wire.TimeResponse, error) {
	if busy := s.enter(); busy != nil {
		return nil, busy
	}
	defer s.leave()
	a, err := s.config.Authorities()
	if err != nil {
		return nil, err
	}
	answer := &wire.TimeResponse{Now: s.config.Now().UTC().Round(0)}
	digest := wire.TimeDigest(nonce, answer.Now)
	for _, ca := range a.Servers {
		signature, err := ca.SignDigest(digest)
		if err != nil {
			s.log.Error("time not signed", "error", err)
			return nil, err
		}
		answer.Signatures = append(answer.Signatures, signature)
	}
	return answer, nil
}
