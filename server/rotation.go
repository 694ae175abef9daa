package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/server/certs"
	"github.com/kedge-io/kedge/server/join"
	"github.com/kedge-io/kedge/server/rotation"
	"github.com/kedge-io/kedge/tunnel"
)

// CertificateHandlers are what kedge cert asks for, by path, for the status
// socket. renewOwn renews the certificates of the server's own node; nil without
// one.
func (s *Server) CertificateHandlers(renewOwn http.Handler) map[string]http.Handler {
	handlers := map[string]http.Handler{
		rotation.Path:    s.rotation.Handler(),
		certs.PathRotate: s.keeper.RotateHandler(),
	}
	if renewOwn != nil {
		s.renewOwn.Store(&renewOwn)
		handlers[wire.PathRenewNow] = renewOwn
	}
	return handlers
}

func (s *Server) buildRotation() {
	s.rotation = rotation.New(rotation.Config{
		Keeper: s.keeper, Nodes: s.rotationNodes, Renew: s.renewNode, RenewOwn: s.renewOwnNode,
		Now: s.cfg.Now, Log: s.log.With("component", rotation.ComponentName),
	})
}

// rotationNodes joins what is known of each node but the server's own.
func (s *Server) rotationNodes(ctx context.Context) ([]rotation.Node, error) {
	client, err := s.supervisorClient()
	if err != nil {
		return nil, err
	}
	list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	claims, err := s.join.Claims(ctx)
	if err != nil {
		return nil, err
	}
	connected := s.hub.Connected()
	var nodes []rotation.Node
	for i := range list.Items {
		name := list.Items[i].Name
		if name == s.localNode() {
			continue
		}
		n := rotation.Node{Name: name, Connected: slices.Contains(connected, tunnel.NodeName(name))}
		if at := slices.IndexFunc(claims, func(c join.Claim) bool { return c.Node == name }); at >= 0 {
			for _, pin := range claims[at].Trusts {
				n.Trusts = append(n.Trusts, pin.String())
			}
			n.Issuer, n.Out = claims[at].Issuer.String(), claims[at].Out()
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// renewNode asks a node through its link.
func (s *Server) renewNode(ctx context.Context, node string) error {
	client := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return s.hub.DialStatus(ctx, tunnel.NodeName(node))
	}}
	defer client.CloseIdleConnections()
	req, err := renewal(ctx)
	if err != nil {
		return err
	}
	resp, err := client.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("ask the node to renew: %w", err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return refusal(resp.StatusCode, text)
}

func renewal(ctx context.Context) (*http.Request, error) {
	return http.NewRequestWithContext(ctx, http.MethodPost, "http://node"+wire.PathRenewNow, nil)
}

func refusal(code int, text []byte) error {
	if code < http.StatusMultipleChoices {
		return nil
	}
	return fmt.Errorf("the node does not renew: %s %s", http.StatusText(code), text)
}

// renewOwnNode asks the node of this process what all others are asked.
func (s *Server) renewOwnNode(ctx context.Context) error {
	handler := s.renewOwn.Load()
	if handler == nil {
		return nil
	}
	req, err := renewal(ctx)
	if err != nil {
		return err
	}
	w := &answer{header: http.Header{}, code: http.StatusOK}
	(*handler).ServeHTTP(w, req)
	return refusal(w.code, w.text.Bytes())
}

// answer keeps what a handler of this process says.
type answer struct {
	header http.Header
	code   int
	text   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(code int)        { a.code = code }
func (a *answer) Write(p []byte) (int, error) { return a.text.Write(p) }
