package join

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/kedge-io/kedge/internal/fsx"
	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
)

// barred are the machines that are refused whatever their certificates say.
// Kubernetes itself has no revocation. It is not changed.
type barred struct {
	// Replaced machines lost their name to another one.
	Replaced []wire.Pin
	// Revoked machines were shut out by a person; the values are their names.
	Revoked map[wire.Pin]string
	// kept are those of both whom the claims do not bar, because the database was
	// set back; nil if there are none.
	kept *barred
}

func (s *Server) isReplaced(device wire.Pin) bool {
	return slices.Contains(s.barred.Load().Replaced, device)
}

func (s *Server) isRevoked(device wire.Pin) error {
	if node, ok := s.barred.Load().Revoked[device]; ok {
		return wasRevoked(node)
	}
	return nil
}

// refusal is a [*wire.Refusal] for barred machines, nil for all others.
func (s *Server) refusal(device wire.Pin) error {
	if s.isReplaced(device) {
		return wasReplaced()
	}
	return s.isRevoked(device)
}

func wasReplaced() *wire.Refusal {
	return refuse(wire.CodeIdentity, "another machine has replaced this one: run kedge reset here before it joins again")
}

func wasRevoked(node string) *wire.Refusal {
	return refuse(wire.CodeIdentity, "this machine was revoked: to let it in again, run on the server: kedge node allow %s", node)
}

// RefuseBarred puts a check before next (the API): requests with a certificate of
// a barred machine, or with a token of a pod on a revoked one, get 401.
func (s *Server) RefuseBarred(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
			if device, ok := pki.DeviceOf(r.TLS.PeerCertificates[0]); ok {
				// In this order: who is barred after the look is found by conns.end.
				s.conns.note(r.RemoteAddr, device)
				if err := s.refusal(device); err != nil {
					http.Error(w, err.Error(), http.StatusUnauthorized)
					return
				}
			}
		}
		if revoked := s.barred.Load().Revoked; len(revoked) > 0 && ofRevoked(r, revoked) {
			http.Error(w, "the pod's machine was revoked", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ofRevoked says whether the request's bearer names a revoked node as the place
// of its pod. The token is not verified here: it can only lose by what it says.
func ofRevoked(r *http.Request, revoked map[wire.Pin]string) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	parts := strings.Split(token, ".")
	if !ok || len(parts) != 3 {
		return false
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return false
	}
	var claims struct {
		Kubernetes struct {
			Node struct {
				Name string `json:"name"`
			} `json:"node"`
		} `json:"kubernetes.io"`
	}
	if json.Unmarshal(text, &claims) != nil || claims.Kubernetes.Node.Name == "" {
		return false
	}
	for _, node := range revoked {
		if node == claims.Kubernetes.Node.Name {
			return true
		}
	}
	return false
}

// bar takes what the claims say, ends what newly barred machines have open and
// says whose names they are.
func (s *Server) bar(next *barred, names map[wire.Pin]string) {
	before := s.barred.Swap(next)
	for device, node := range names {
		if slices.Contains(before.Replaced, device) {
			continue
		}
		if _, was := before.Revoked[device]; was {
			continue
		}
		ended := s.conns.end(device)
		why := s.refusal(device)
		s.log.Warn("machine is refused from now on", "node", node, "device", device.String(), "connections-ended", ended, "reason", why)
		if s.config.Cut != nil {
			s.config.Cut(node, why)
		}
	}
	for device, node := range before.Revoked {
		if _, still := next.Revoked[device]; !still {
			s.log.Info("machine is allowed again", "node", node, "device", device.String())
		}
	}
	if !slices.Equal(before.Replaced, next.Replaced) || !maps.Equal(before.Revoked, next.Revoked) || !before.kept.same(next.kept) {
		s.writeBarred(next)
	}
}

// readBarred returns whom the server refused before it stopped. The claims are
// what counts as soon as the API answers, unless the database was set back.
func (s *Server) readBarred() *barred {
	b := &barred{Revoked: map[wire.Pin]string{}}
	if s.config.BarredFile == "" {
		return b
	}
	text, err := os.ReadFile(s.config.BarredFile)
	if errors.Is(err, fs.ErrNotExist) {
		return b
	}
	known := b
	if err == nil {
		known, err = parseBarred(text)
	}
	if err != nil {
		s.log.Warn("it is not known whom the server refused before, until the API answers", "error", err)
		return b
	}
	return known
}

func (s *Server) writeBarred(b *barred) {
	if s.config.BarredFile == "" {
		return
	}
	text, err := b.encode()
	if err == nil {
		_, err = fsx.WriteFileIfChanged(s.config.BarredFile, text, 0o600)
	}
	if err != nil {
		s.log.Error("whom the server refuses is not on disk", "error", fmt.Errorf("write %s: %w", s.config.BarredFile, err))
	}
}
