package hub

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/transport"
)

// proofTimeout bounds the proof of a new session.
const proofTimeout = 10 * time.Second

// Handler takes the websockets of nodes (GET, HTTP/1.1). The TLS server must
// request client certificates; the handler verifies them itself.
func (h *Hub) Handler() http.Handler { return http.HandlerFunc(h.connect) }

func (h *Hub) connect(w http.ResponseWriter, r *http.Request) {
	name, cert, err := h.identify(r)
	if err != nil {
		h.noteRefusal(h.log, r, err)
		transport.Refuse(w, tunnel.RefusedIdentity,
			err.Error()+"; a node connects with the certificate that it got when it joined")
		return
	}
	log := h.log.With("node", name)
	if h.cfg.Admit != nil {
		if err := h.cfg.Admit(r.Context(), name, cert); err != nil {
			h.noteRefusal(log, r, err)
			transport.Refuse(w, tunnel.RefusedIdentity, err.Error())
			return
		}
	}
	order, ok := h.enter()
	if !ok {
		transport.Refuse(w, tunnel.RefusedOverload, errStopping.Error())
		return
	}
	session, err := transport.Accept(w, r, name, transport.Hello{Software: h.cfg.Software}, h.cfg.Session)
	if err != nil {
		h.wg.Done()
		h.noteRefusal(log, r, err)
		return
	}
	// The connection is no longer the HTTP server's, so its goroutine and
	// buffers need not stay for as long as the session lives.
	go func() {
		defer h.wg.Done()
		h.hold(name, session, order, log.With("remote", r.RemoteAddr))
	}()
}

// noteRefusal logs a refusal once a minute and address: a machine that is
// refused tries again for ever.
func (h *Hub) noteRefusal(log *slog.Logger, r *http.Request, err error) {
	address, _, splitErr := net.SplitHostPort(r.RemoteAddr)
	if splitErr != nil {
		address = r.RemoteAddr
	}
	if h.refused.First(address) {
		log.Warn("tunnel refused", "remote", r.RemoteAddr, "error", err)
	}
}

func (h *Hub) identify(r *http.Request) (tunnel.NodeName, *x509.Certificate, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return "", nil, errors.New("no client certificate was presented")
	}
	name, err := pki.VerifyNode(r.TLS.PeerCertificates, h.cfg.ClientCAs(), h.cfg.Now())
	if err != nil {
		return "", nil, err
	}
	return tunnel.NodeName(name), r.TLS.PeerCertificates[0], nil
}

// enter gives a connection its place in the order of arrival. The caller owes
// one wg.Done if ok.
func (h *Hub) enter() (order uint64, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return 0, false
	}
	h.wg.Add(1)
	h.next++
	return h.next, true
}

// hold proves a session, makes it the node's and waits for its end.
func (h *Hub) hold(name tunnel.NodeName, s *transport.Session, order uint64, log *slog.Logger) {
	h.mu.Lock()
	h.live[s] = struct{}{}
	closed := h.closed
	h.mu.Unlock()
	if closed {
		s.Close(errStopping)
	}
	if err := h.prove(s, func() error { return h.admit(name, s, order, log) }); err != nil {
		s.Close(fmt.Errorf("prove the tunnel: %w", err))
	}
	<-s.Done()
	h.leave(name, s, log)
}

// prove dials through the session, gets back what it sent and then, when
// admit has made the session the node's, tells the node so.
func (h *Hub) prove(s *transport.Session, admit func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), proofTimeout)
	defer cancel()
	conn, err := s.Open(ctx, tunnel.TargetProof)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(proofTimeout))
	nonce := make([]byte, tunnel.ProofSize)
	_, _ = rand.Read(nonce) // never fails since Go 1.24
	if _, err := conn.Write(nonce); err != nil {
		return err
	}
	got := make([]byte, len(nonce))
	if _, err := io.ReadFull(conn, got); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if !bytes.Equal(nonce, got) {
		return errors.New("the answer is not what was sent")
	}
	if err := admit(); err != nil {
		return err
	}
	_, err = conn.Write([]byte{tunnel.ProofAdmitted})
	return err
}

// admit makes s the session of the node unless a newer one already is.
func (h *Hub) admit(name tunnel.NodeName, s *transport.Session, order uint64, log *slog.Logger) error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return errStopping
	}
	n := h.nodeLocked(name)
	if n.order > order {
		h.mu.Unlock()
		return transport.ErrReplaced
	}
	old := n.session
	if n.order > 0 {
		n.reconnects++
	}
	n.order, n.lastError = order, ""
	n.set(s)
	h.mu.Unlock()
	log.Info("tunnel up", "software", s.Peer().Software, "replaces", old != nil)
	if old != nil {
		old.Close(transport.ErrReplaced)
	}
	return nil
}

func (h *Hub) leave(name tunnel.NodeName, s *transport.Session, log *slog.Logger) {
	h.mu.Lock()
	delete(h.live, s)
	n := h.nodes[name]
	current := n != nil && n.session == s
	if current {
		n.lost, n.lastError = time.Now(), s.Err().Error()
		n.set(nil)
	}
	stopping := h.closed
	h.mu.Unlock()
	switch {
	case stopping, errors.Is(s.Err(), transport.ErrReplaced):
	case current:
		log.Warn("tunnel down", "error", s.Err(), "lasted", time.Since(s.Since()).Round(time.Millisecond))
	default:
		log.Warn("tunnel never came up", "error", s.Err())
	}
}
