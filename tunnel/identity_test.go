package tunnel_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/tunnel/access"
	"github.com/kedge-io/kedge/tunnel/spoke"
)

func TestServerRefusesWhoIsNotANode(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	srv := startServer(t, a, "127.0.0.1:0", nil)
	server := nodeNames("edge-1")
	server.Client, server.Server = false, true
	for name, cfg := range map[string]spoke.Config{
		"another CA":         withCA(nodeConfig(t, other, nodeNames("edge-1"), srv.addr, access.Rules{}), a),
		"not a node":         nodeConfig(t, a, pki.Names{CommonName: "system:kube-proxy", Client: true}, srv.addr, access.Rules{}),
		"no group":           nodeConfig(t, a, pki.Names{CommonName: "system:node:edge-1", Client: true}, srv.addr, access.Rules{}),
		"a name with a path": nodeConfig(t, a, nodeNames("../edge-1"), srv.addr, access.Rules{}),
		"a serving one":      nodeConfig(t, a, server, srv.addr, access.Rules{}),
	} {
		t.Run(name, func(t *testing.T) {
			n := startNode(t, cfg)
			eventually(t, "the refusal to be known", func() bool {
				return strings.Contains(n.Status().LastError, "refused (identity)")
			})
		})
	}
	if got := srv.hub.Status(); len(got) != 0 {
		t.Errorf("the hub knows %+v", got)
	}
}

func withCA(c spoke.Config, a *authority) spoke.Config {
	c.CAFile = a.dir + "/server-ca.crt"
	return c
}

func TestNodeRefusesServerOfAnotherCA(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	srv := startServer(t, a, "127.0.0.1:0", nil)
	n := startNode(t, withCA(nodeConfig(t, a, nodeNames("edge-1"), srv.addr, access.Rules{}), other))
	eventually(t, "the refusal to be known", func() bool { return strings.Contains(n.Status().LastError, "certificate") })
	if got := srv.hub.Status(); len(got) != 0 {
		t.Errorf("the hub knows %+v", got)
	}
}

func TestHandlerAnswersWhoHasNoCertificateOrAnotherVersion(t *testing.T) {
	a := newAuthority(t)
	srv := startServer(t, a, "127.0.0.1:0", nil)
	certFile, keyFile := a.leaf(t, a.client, nodeNames("edge-1"))
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		certs  []tls.Certificate
		header map[string]string
		status int
		text   string
	}{
		"no certificate": {nil, map[string]string{"Kedge-Tunnel-Versions": "1", "X-Remote-User": "system:node:edge-1"},
			http.StatusUnauthorized, "no client certificate"},
		"future version": {[]tls.Certificate{pair}, map[string]string{"Kedge-Tunnel-Versions": "7, 8"},
			http.StatusUpgradeRequired, `offers tunnel versions "7, 8" and this server speaks 1`},
		"no version": {[]tls.Certificate{pair}, nil, http.StatusUpgradeRequired, "speaks 1"},
		"no websocket": {[]tls.Certificate{pair}, map[string]string{"Kedge-Tunnel-Versions": "2,1"},
			http.StatusBadRequest, "websocket"},
	} {
		t.Run(name, func(t *testing.T) {
			transport := &http.Transport{TLSClientConfig: &tls.Config{
				Certificates: c.certs, RootCAs: pki.Pool(a.server.Cert), ServerName: wire.ServerIdentity}}
			defer transport.CloseIdleConnections()
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+srv.addr+wire.PathConnect, nil)
			for k, v := range c.header {
				req.Header.Set(k, v)
			}
			resp, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != c.status || !strings.Contains(string(body), c.text) {
				t.Fatalf("%s %q", resp.Status, body)
			}
		})
	}
}

func TestRenewedCertificateIsTakenAtTheNextConnection(t *testing.T) {
	a := newAuthority(t)
	srv := startServer(t, a, "127.0.0.1:0", nil)
	cfg := nodeConfig(t, a, pki.Names{CommonName: "system:kube-proxy", Client: true}, srv.addr, access.Rules{})
	n := startNode(t, cfg)
	eventually(t, "the refusal to be known", func() bool { return n.Status().LastError != "" })
	if err := errors.Join(os.Remove(cfg.CertFile), os.Remove(cfg.KeyFile)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := pki.EnsureLeaf(cfg.CertFile, cfg.KeyFile, a.client, nodeNames("edge-1"), time.Now()); err != nil {
		t.Fatal(err)
	}
	n.waitReady(t)
}
