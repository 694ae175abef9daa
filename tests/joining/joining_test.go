// Package joining tests an agent's enrolment against a server's join API: the
// two sides never import each other, so they meet here.
package joining

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kedge-io/kedge/agent/enroll"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/server/certs"
	"github.com/kedge-io/kedge/server/join"
)

type server struct {
	*httptest.Server
	join  *join.Server
	api   *fake.Clientset
	certs certs.Paths
	pin   wire.Pin
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{api: fake.NewClientset()}
	config := certs.Config{
		Layout: paths.New(filepath.Join(t.TempDir(), "data")), NodeName: "server-1", ClusterDomain: "cluster.local",
		ServiceIPs: []netip.Addr{netip.MustParseAddr("10.43.0.1")}, HTTPSPort: 6443,
	}
	var err error
	if s.certs, err = certs.Ensure(config, time.Now(), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	ca, err := pki.ReadCert(s.certs.ServerCA.Cert)
	if err != nil {
		t.Fatal(err)
	}
	s.pin = pki.PinOf(ca)
	s.join = join.New(join.Config{
		Authorities: func() (*certs.Authorities, error) { return certs.ReadAuthorities(s.certs, 0) }, LocalNode: "server-1",
		Cluster: wire.ClusterConfig{
			ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16")}, ClusterDNS: []netip.Addr{netip.MustParseAddr("10.43.0.10")},
			ClusterDomain: "cluster.local", KubernetesVersion: "v1.36.3",
		},
		Client: func() (kubernetes.Interface, error) { return s.api, nil },
	}, slog.New(slog.DiscardHandler))
	pair, err := tls.LoadX509KeyPair(s.certs.Serving.Cert, s.certs.Serving.Key)
	if err != nil {
		t.Fatal(err)
	}
	s.Server = httptest.NewUnstartedServer(s.join.Handler(map[string]http.Handler{
		wire.PathConnect: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			node, err := s.join.AuthorizeNode(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusForbidden)
				return
			}
			_, _ = w.Write([]byte(node))
		}),
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequestClientCert}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (s *server) token(t *testing.T, options join.TokenOptions) string {
	t.Helper()
	id, secret, err := join.NewTokens(s.api).Create(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	return wire.Token{Pin: s.pin, ID: id, Secret: secret}.Encode()
}

func newNode(t *testing.T, config enroll.Config) *enroll.Enroll {
	t.Helper()
	config.Layout = paths.New(filepath.Join(t.TempDir(), "data"))
	e, err := enroll.New(config, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestAgentJoinsAndIsKnownByItsCertificate(t *testing.T) {
	s := newServer(t)
	token := s.token(t, join.TokenOptions{Uses: 1})
	e := newNode(t, enroll.Config{Server: s.URL, Token: token, NodeName: "edge-1"})
	if err := e.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	cluster := e.Identity().Cluster
	if cluster.KubernetesVersion != "v1.36.3" || cluster.ClusterDNS[0].String() != "10.43.0.10" || cluster.ClusterCIDRs[0].String() != "10.42.0.0/16" {
		t.Errorf("%+v", cluster)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: e.TLS()}}
	defer client.CloseIdleConnections()
	response, err := client.Get(s.URL + wire.PathConnect)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		t.Fatal(response.Status)
	}
	for name, config := range map[string]enroll.Config{
		"kedge node replace edge-1": {Server: s.URL, Token: s.token(t, join.TokenOptions{}), NodeName: "edge-1"},
		"kedge token create":        {Server: s.URL, Token: token, NodeName: "edge-2"},
		"expired":                   {Server: s.URL, Token: s.token(t, join.TokenOptions{TTL: time.Nanosecond}), NodeName: "edge-2"},
		"server's own":              {Server: s.URL, Token: s.token(t, join.TokenOptions{}), NodeName: "server-1"},
	} {
		err := newNode(t, config).Join(t.Context())
		var refusal *wire.Refusal
		if !errors.As(err, &refusal) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestServersOwnNodeJoinsInTheProcess(t *testing.T) {
	s := newServer(t)
	e := newNode(t, enroll.Config{NodeName: "server-1", Issue: s.join.IssueLocal, ServerCA: s.certs.ServerCA.Cert})
	if err := e.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e.Identity().Pin != s.pin {
		t.Fatal("the node trusts another authority")
	}
}
