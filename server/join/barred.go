package join

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"time"

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
	// Pods are the names of nodes that were a revoked machine's. Tokens of pods
	// there are refused: those from before the time at which the name changed hands,
	// and all of them while it is zero.
	Pods map[string]time.Time
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

func newBarred() *barred {
	return &barred{Revoked: map[wire.Pin]string{}, Pods: map[string]time.Time{}}
}

// refusesPod says whether a token names a revoked machine as the place of its pod.
// now is the machine's clock, by which the API dates tokens: where it shows a time
// before the name changed hands it is behind, and the API refuses older tokens.
func (b *barred) refusesPod(pod podToken, now time.Time) bool {
	changed, ok := b.Pods[pod.node]
	return ok && (changed.IsZero() || (pod.issued.Before(changed) && !now.Before(changed)))
}

// RefuseBarred puts a check before next (the API): requests with a certificate of
// a barred machine, or with a token of a pod on a revoked one, get 401.
func (s *Server) RefuseBarred(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if device, ok := s.noteDevice(r); ok {
			if err := s.refusal(device); err != nil {
				http.Error(w, err.Error(), http.StatusUnauthorized)
				return
			}
		}
		for _, token := range bearers(r) {
			pod, ok := s.conns.notePod(r.RemoteAddr, token)
			if ok && s.barred.Load().refusesPod(pod, time.Now()) {
				http.Error(w, "the pod's machine was revoked", http.StatusUnauthorized)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// noteDevice returns the device that a request's certificate names. It is
// remembered as the connection's before anybody looks whether it is barred: who is
// barred after the look is found by conns.end.
func (s *Server) noteDevice(r *http.Request) (wire.Pin, bool) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return wire.Pin{}, false
	}
	device, ok := pki.DeviceOf(r.TLS.PeerCertificates[0])
	if ok {
		s.conns.note(r.RemoteAddr, device)
	}
	return device, ok
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
		why := s.refusal(device)
		if s.config.Cut != nil {
			s.config.Cut(node, why) // before its connection is closed, so that both ends know why
		}
		ended := s.conns.end(device)
		s.log.Warn("machine is refused from now on", "node", node, "device", device.String(), "connections-ended", ended, "reason", why)
	}
	for node, changed := range next.Pods {
		if at, was := before.Pods[node]; changed.IsZero() && (!was || !at.IsZero()) {
			s.conns.endPods(node)
		}
	}
	for device, node := range before.Revoked {
		if _, still := next.Revoked[device]; !still {
			s.log.Info("machine is allowed again", "node", node, "device", device.String())
		}
	}
	if !before.equal(next) || !before.kept.same(next.kept) {
		s.writeBarred(next)
	}
}

// readBarred returns whom the server refused before it stopped. The claims are
// what counts as soon as the API answers, unless the database was set back.
func (s *Server) readBarred() *barred {
	b := newBarred()
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
