package tunnel_test

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/tunnel/access"
	"github.com/kedge-io/kedge/tunnel/hub"
	"github.com/kedge-io/kedge/tunnel/transport"
)

// A thousand nodes that come back at once make two connections each: the second
// one must not cost signatures.
func TestLanesResumeTheTLSSessionOfTheirControlLane(t *testing.T) {
	a := newAuthority(t)
	h, err := hub.New(hub.Config{
		ClientCAs: func() *x509.CertPool { return pki.Pool(a.client.Cert) }, Session: quick, Lanes: quickLanes,
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var control, lanes, resumed atomic.Int32
	cert, key := a.leaf(t, a.server, pki.Names{CommonName: "kube-apiserver", DNS: []string{wire.ServerIdentity}, Server: true})
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !transport.IsLane(r.Header):
			control.Add(1)
			if r.TLS.DidResume {
				t.Error("a control lane resumed the session of another")
			}
		default:
			lanes.Add(1)
			if r.TLS.DidResume {
				resumed.Add(1)
			}
		}
		h.Handler().ServeHTTP(w, r)
	}))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequestClientCert}
	srv.StartTLS()
	t.Cleanup(func() {
		h.Close()
		srv.Close()
	})
	addr := strings.TrimPrefix(srv.URL, "https://")
	n := startNode(t, nodeConfig(t, a, nodeNames("edge-1"), addr, access.Rules{}))
	waitReady := func() {
		eventually(t, "the lanes", func() bool { st := h.Status(); return len(st) > 0 && st[0].Connected && len(st[0].Lanes) > 1 })
	}
	waitReady()
	h.Disconnect("edge-1", errOnce)
	eventually(t, "the node to come back", func() bool { return control.Load() == 2 })
	waitReady()
	if control.Load() < 2 || lanes.Load() == 0 || resumed.Load() != lanes.Load() {
		t.Errorf("%d control lanes, %d others, %d of them resumed: %+v", control.Load(), lanes.Load(), resumed.Load(), n.Status())
	}
}
