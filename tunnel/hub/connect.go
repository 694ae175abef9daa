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
		h.noteRefusal(h.log, address(r), r, err)
		transport.Refuse(w, tunnel.RefusedIdentity,
			err.Error()+"; a node connects with the certificate that it got when it joined")
		return
	}
	log := h.log.With("node", name)
	if h.cfg.Admit != nil {
		if err := h.cfg.Admit(r.Context(), name, cert); err != nil {
			h.noteRefusal(log, string(name), r, err)
			transport.Refuse(w, tunnel.RefusedIdentity, err.Error())
			return
		}
	}
	if transport.IsLane(r.Header) {
		h.connectLane(w, r, name, log)
		return
	}
	h.connectControl(w, r, name, log)
}

func (h *Hub) connectControl(w http.ResponseWriter, r *http.Request, name tunnel.NodeName, log *slog.Logger) {
	if err := h.admission.enter(r.Context(), name); err != nil {
		h.noteRefusal(h.log, "busy", r, err)
		transport.RefuseFor(w, comeLater, err.Error())
		return
	}
	order, ok := h.enter()
	if !ok {
		h.admission.leave(name)
		transport.RefuseFor(w, comeLater, errStopping.Error())
		return
	}
	hello := transport.Hello{Software: h.cfg.Software, Capabilities: h.capabilities()}
	session, err := transport.Accept(w, r, name, hello, h.cfg.Session)
	if err != nil {
		h.wg.Done()
		h.admission.leave(name)
		h.noteRefusal(log, string(name), r, err)
		return
	}
	// The connection is no longer the HTTP server's, so its goroutine and
	// buffers need not stay for as long as the session lives.
	go h.hold(h.newLink(name, session, order), log.With("remote", r.RemoteAddr))
}

// connectLane takes a lane of the node's current session. The node's
// certificate was checked; the proof says that it is this session's.
func (h *Hub) connectLane(w http.ResponseWriter, r *http.Request, name tunnel.NodeName, log *slog.Logger) {
	refuse := func(kind tunnel.Refusal, err error) {
		h.noteRefusal(log, "lane "+string(name), r, err)
		transport.Refuse(w, kind, err.Error())
	}
	request, err := transport.ReadLane(r.Header)
	if err != nil {
		refuse(tunnel.RefusedProtocol, err)
		return
	}
	l := h.current(name)
	if l == nil || l.grant == nil {
		refuse(tunnel.RefusedIdentity, errors.New("node has no session that lanes could belong to"))
		return
	}
	if err := l.grant.Check(request); err != nil {
		refuse(tunnel.RefusedIdentity, err)
		return
	}
	if request.Index >= request.Class.Max() || (request.Class == tunnel.LaneRelay && !l.has(transport.CapabilityRelay)) {
		refuse(tunnel.RefusedOverload, fmt.Errorf("lane %s/%d is one more than a session has", request.Class, request.Index))
		return
	}
	conn, err := transport.AcceptLane(w, r, request.Class, h.cfg.Session)
	if err != nil {
		h.noteRefusal(log, "lane "+string(name), r, err)
		return
	}
	if err := l.attach(request.Class, request.Index, conn); err != nil {
		log.Debug("lane came too late", "error", err)
	}
}

// current returns the link of a node, nil while there is none.
func (h *Hub) current(name tunnel.NodeName) *link {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := h.nodes[name]; n != nil && !h.closed {
		return n.link
	}
	return nil
}

// noteRefusal logs a refusal once a minute and key: a machine that is refused
// tries again for ever.
func (h *Hub) noteRefusal(log *slog.Logger, key string, r *http.Request, err error) {
	if h.refused.First(key) {
		log.Warn("tunnel refused", "remote", r.RemoteAddr, "error", err)
	}
}

// address is the key of who has no name that could be trusted.
func address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
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

// hold proves a link, makes it the node's and sees to its end.
func (h *Hub) hold(l *link, log *slog.Logger) {
	h.mu.Lock()
	h.live[l] = struct{}{}
	closed := h.closed
	h.mu.Unlock()
	if closed {
		l.close(errStopping)
	}
	err := h.prove(l, func() error { return h.admit(l, log) })
	h.admission.leave(l.node)
	if err != nil {
		l.close(fmt.Errorf("prove the tunnel: %w", err))
	}
	l.control.Finally(func() {
		defer h.wg.Done()
		l.wait()
		h.leave(l, log)
	})
}

// prove dials through the session, gets back what it sent and then, when
// admit has made the session the node's, tells the node so.
func (h *Hub) prove(l *link, admit func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), proofTimeout)
	defer cancel()
	conn, err := l.control.Open(ctx, tunnel.TargetProof)
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
	if _, err = conn.Write([]byte{tunnel.ProofAdmitted}); err != nil || l.grant == nil {
		return err
	}
	_, err = l.grant.WriteTo(conn)
	return err
}

// admit makes l the link of the node unless a newer one already is.
func (h *Hub) admit(l *link, log *slog.Logger) error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return errStopping
	}
	n := h.nodeLocked(l.node)
	if n.order > l.order {
		h.mu.Unlock()
		return transport.ErrReplaced
	}
	old, again := n.link, n.order > 0
	if again {
		n.reconnects++
	}
	n.order, n.lastError = l.order, ""
	n.set(l)
	h.packets.Delete(l.node)
	if l.has(transport.CapabilityRelay) {
		h.packets.Store(l.node, l)
	}
	h.mu.Unlock()
	log.Info("tunnel up", "software", l.control.Peer().Software, "replaces", old != nil, "capabilities", l.capabilities)
	if old != nil {
		old.close(transport.ErrReplaced)
	}
	h.cfg.Observe.Up(l.node, again)
	return nil
}

// leave takes out a link that has ended.
func (h *Hub) leave(l *link, log *slog.Logger) {
	err := l.control.Err()
	h.mu.Lock()
	delete(h.live, l)
	n := h.nodes[l.node]
	current := n != nil && n.link == l
	if current {
		n.lost, n.lastError = time.Now(), err.Error()
		n.set(nil)
		h.packets.Delete(l.node)
	}
	stopping := h.closed
	h.mu.Unlock()
	lasted := time.Since(l.control.Since()).Round(time.Millisecond)
	switch {
	case stopping, errors.Is(err, transport.ErrReplaced):
	case current:
		log.Warn("tunnel down", "error", err, "lasted", lasted)
	case errors.Is(err, errForgotten):
		log.Info("tunnel ended", "error", err, "lasted", lasted)
	default:
		log.Warn("tunnel never came up", "error", err)
	}
	if current || errors.Is(err, errForgotten) {
		h.cfg.Observe.Down(l.node, err)
	}
}
