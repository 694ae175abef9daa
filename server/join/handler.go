package join

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
)

// readTimeout is how long a client may take to send its request's body.
const readTimeout = 30 * time.Second

// Owns says whether a path belongs to the supervisor; all others are the API's.
func Owns(path string) bool {
	return path == wire.PathCACerts || path == wire.PathInstall || strings.HasPrefix(path, wire.PathPrefix)
}

// Handler answers the supervisor's paths (see [Owns]). Extra handlers are
// mounted by their patterns (see [http.ServeMux]), for example the tunnel's at
// [wire.PathConnect]; they must authenticate by [Server.AuthorizeNode].
//
// The listener has to request client certificates; it need not verify them.
func (s *Server) Handler(extra map[string]http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+wire.PathCACerts, s.caCerts)
	mux.HandleFunc("GET "+wire.PathPing, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET "+wire.PathTime, s.tellTime)
	mux.HandleFunc("POST "+wire.PathJoin, s.bounded(s.join))
	mux.HandleFunc("POST "+wire.PathRenew, s.bounded(s.renew))
	for pattern, handler := range extra {
		mux.Handle(pattern, handler)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.noteDevice(r) // a link is a connection that asks nobody again whether it may
		mux.ServeHTTP(w, r)
	})
}

func (s *Server) caCerts(w http.ResponseWriter, _ *http.Request) {
	a, err := s.config.Authorities()
	if err != nil {
		s.log.Error("server certificate not readable", "error", err)
		writeRefusal(w, asRefusal(err))
		return
	}
	w.Header().Set("Content-Type", "application/x-pem-file")
	_, _ = w.Write(pki.EncodeCert(a.Server...))
}

type answer func(r *http.Request, request func() (*wire.JoinRequest, error)) (*wire.JoinResponse, error)

// bounded limits bodies, time and concurrency, and turns errors into refusals. A
// client that is slow to send its body has no slot meanwhile: a few could keep all
// others out.
func (s *Server) bounded(work answer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if busy := s.enter(); busy != nil {
			writeRefusal(w, busy)
			return
		}
		inside := true
		defer func() {
			if inside {
				s.leave()
			}
		}()
		// Not every writer has deadlines; those that have none are in tests.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(readTimeout))
		response, err := work(r, func() (*wire.JoinRequest, error) {
			s.leave()
			inside = false
			request, err := decode(w, r)
			if busy := s.enter(); busy != nil {
				return nil, busy
			}
			inside = true
			return request, err
		})
		if err != nil {
			refusal := asRefusal(err)
			if address := clientAddress(r); s.quiet.First(address) {
				s.log.Warn("node refused", "address", address, "path", r.URL.Path, "code", string(refusal.Code), "error", err)
			}
			writeRefusal(w, refusal)
			return
		}
		writeJSON(w, http.StatusOK, response)
	}
}

// enter takes one of the slots, which [Server.leave] gives back.
func (s *Server) enter() *wire.Refusal {
	select {
	case s.slots <- struct{}{}:
		return nil
	default:
		return refuse(wire.CodeBusy, "the server is busy with other nodes: try again")
	}
}

func (s *Server) leave() { <-s.slots }

// alone lets each machine have one request at work: no single one takes the slots
// that all others need.
func (s *Server) alone(device wire.Pin) (done func(), err error) {
	if _, twice := s.working.LoadOrStore(device, nil); twice {
		return nil, refuse(wire.CodeBusy, "an earlier request of this machine is still being worked on: try again")
	}
	return func() { s.working.Delete(device) }, nil
}

func decode(w http.ResponseWriter, r *http.Request) (*wire.JoinRequest, error) {
	var request wire.JoinRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, wire.MaxBody)).Decode(&request); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, refuse(wire.CodeBadRequest, "the request is larger than %d bytes", tooLarge.Limit)
		}
		return nil, refuse(wire.CodeBadRequest, "the request is not valid JSON: %v", err)
	}
	return &request, nil
}

func clientAddress(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// join is for machines with a token. The token is checked before the body is
// looked at, and a use is taken before the name: a crash in between costs a
// use, never gives a name away.
func (s *Server) join(r *http.Request, body func() (*wire.JoinRequest, error)) (*wire.JoinResponse, error) {
	id, secret, err := bearer(r)
	if err != nil {
		return nil, err
	}
	tokens, nodes, err := s.stores()
	if err != nil {
		return nil, err
	}
	token, err := tokens.Check(r.Context(), id, secret)
	if err != nil {
		return nil, err
	}
	request, err := body()
	if err != nil {
		return nil, err
	}
	a, err := s.config.Authorities()
	if err != nil {
		return nil, err
	}
	c, err := check(a, request)
	if err != nil {
		return nil, err
	}
	done, err := s.alone(c.device)
	if err != nil {
		return nil, err
	}
	defer done()
	if c.node == s.config.LocalNode {
		return nil, refuse(wire.CodeNodeNameTaken, "node name %q is the server's own: choose another --node-name", c.node)
	}
	if r.URL.Query().Has(wire.QueryAgain) {
		err = s.holds(r.Context(), nodes, c)
	} else {
		err = s.admit(r.Context(), tokens, nodes, token, c)
	}
	if err != nil {
		return nil, err
	}
	if err := nodes.Renewed(r.Context(), c.node, c.device, request.Trusts, wire.Pin{}); err != nil {
		return nil, err
	}
	response, err := s.issue(a, request, c)
	if err == nil {
		s.comesFrom(r, nodes, c.node)
		s.log.Info("node joined", "node", c.node, "address", clientAddress(r), "token", token.ID)
	}
	return response, err
}

// comesFrom hands on where a machine joins from. It is noted as well: a server that
// starts anew before the machine has registered must let it in all the same.
func (s *Server) comesFrom(r *http.Request, nodes *Nodes, node string) {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || s.config.Joining == nil {
		return
	}
	from := at.Addr().Unmap().WithZone("")
	if err := nodes.Joined(r.Context(), node, from); err != nil {
		s.log.Warn("it is not noted where a node joins from", "node", node, "address", from, "error", err)
	}
	s.config.Joining(r.Context(), node, from)
}

// Settled says that a machine that joined has registered and is connected: where it
// joined from counts no more, also not after a restart of the server.
func (s *Server) Settled(ctx context.Context, node string) error {
	_, nodes, err := s.stores()
	if err != nil {
		return err
	}
	return nodes.Settled(ctx, node)
}

func bearer(r *http.Request) (id, secret string, err error) {
	text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return "", "", refuse(wire.CodeTokenMissing, "joining needs a token: make one on the server with: kedge token create")
	}
	if id, secret, err = wire.ParseBearer(text); err != nil {
		return "", "", refuse(wire.CodeTokenFormat, "%v: copy it whole, or make a new one on the server with: kedge token create", err)
	}
	return id, secret, nil
}

// admit lets a device have its name. A device that has the name already does
// not need a use of the token.
func (s *Server) admit(ctx context.Context, tokens *Tokens, nodes *Nodes, token Token, c checked) error {
	// A token that a revoked machine still has must not let it in again.
	if err := s.isRevoked(c.device); err != nil {
		return err
	}
	claim, err := nodes.Get(ctx, c.node)
	switch {
	case err != nil && !errors.Is(err, ErrNoClaim):
		return err
	case err == nil && claim.Device == c.device:
		return nil
	case s.isReplaced(c.device) && !slices.Contains(claim.Former, c.device):
		return wasReplaced()
	case err == nil && claim.Device != (wire.Pin{}):
		return taken(c.node)
	}
	if err := tokens.Use(ctx, token.ID); err != nil {
		return err
	}
	if err := nodes.Take(ctx, c.node, c.device); err != nil {
		// Another machine was quicker. The use is given back even when this
		// client has gone away.
		return errors.Join(err, tokens.Refund(context.WithoutCancel(ctx), token.ID))
	}
	return nil
}

// holds refuses a machine that does not have its name here already.
func (s *Server) holds(ctx context.Context, nodes *Nodes, c checked) error {
	if err := s.refusal(c.device); err != nil {
		return err
	}
	claim, err := nodes.Get(ctx, c.node)
	if err == nil && claim.Device != c.device {
		err = ErrNoClaim
	}
	if errors.Is(err, ErrNoClaim) {
		return refuse(wire.CodeIdentity, "this machine has not joined this cluster as %q before", c.node)
	}
	return err
}

// renew is for nodes with a certificate that is still good, or that has ended
// not longer ago than the grace. Either way the device's key signs the request
// and the certificate's key the handshake, and the name must still be its.
func (s *Server) renew(r *http.Request, body func() (*wire.JoinRequest, error)) (*wire.JoinResponse, error) {
	peer, err := s.peer(r, s.config.Grace)
	if err != nil {
		return nil, err
	}
	done, err := s.alone(peer.device)
	if err != nil {
		return nil, err
	}
	defer done()
	request, err := body()
	if err != nil {
		return nil, err
	}
	a, err := s.config.Authorities()
	if err != nil {
		return nil, err
	}
	c, err := check(a, request)
	if err != nil {
		return nil, err
	}
	if c.node != peer.node || c.device != peer.device {
		return nil, refuse(wire.CodeIdentity, "the certificate is of node %q: it cannot renew for another node or device", peer.node)
	}
	_, nodes, err := s.stores()
	if err != nil {
		return nil, err
	}
	// Take, not Get: a record that was deleted by hand comes back.
	// That of the certificate that was shown: it proves that the node has saved
	// what it got.
	issuer := a.ClientIssuer(r.TLS.PeerCertificates[0])
	_, known := nodes.Get(r.Context(), peer.node)
	if err := nodes.Renewed(r.Context(), peer.node, peer.device, request.Trusts, issuer); err != nil {
		return nil, err
	}
	response, err := s.issue(a, request, c)
	if err == nil && errors.Is(known, ErrNoClaim) {
		// It joined in a past that a restore has undone, and has to register as then.
		s.comesFrom(r, nodes, peer.node)
	}
	if err == nil {
		s.log.Info("node renewed its certificates", "node", peer.node, "after-its-end", peer.ended > 0)
	}
	return response, err
}

// AuthorizeNode returns the node whose client certificate came with the
// request, or a [*wire.Refusal]. Certificates of barred machines are refused.
func (s *Server) AuthorizeNode(r *http.Request) (string, error) {
	p, err := s.peer(r, 0)
	return p.node, err
}

// peer is who asks.
type peer struct {
	node   string
	device wire.Pin
	// ended is how long ago its certificate ended.
	ended time.Duration
}

// peer verifies who asks, whose certificate may have ended up to grace ago.
func (s *Server) peer(r *http.Request, grace time.Duration) (peer, error) {
	a, err := s.config.Authorities()
	if err != nil {
		return peer{}, err
	}
	var chain []*x509.Certificate
	if r.TLS != nil {
		chain = r.TLS.PeerCertificates
	}
	var p peer
	at := s.config.Now()
	if len(chain) > 0 && at.After(chain[0].NotAfter) {
		p.ended = at.Sub(chain[0].NotAfter)
		if at = chain[0].NotAfter; p.ended > grace {
			at = s.config.Now()
		}
	}
	if p.node, err = pki.VerifyNode(chain, a.Clients, at); err != nil {
		return peer{}, refuse(wire.CodeIdentity, "%v: start the agent with a token from: kedge token create%s", err, graceHint(p.ended, grace))
	}
	device, ok := pki.DeviceOf(chain[0])
	if !ok {
		return peer{}, refuse(wire.CodeIdentity, "the certificate of node %q names no device", p.node)
	}
	p.device = device
	return p, s.refusal(device)
}

func graceHint(ended, grace time.Duration) string {
	if ended == 0 || grace == 0 {
		return ""
	}
	return fmt.Sprintf(" (a certificate that ended not longer than %s ago, --certificate-grace of the server, would renew without one; this one ended %s ago)", grace, ended.Round(time.Second))
}
