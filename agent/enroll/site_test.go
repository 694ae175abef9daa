package enroll

import (
	"crypto/tls"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/tunnel/pipe"
)

// site is a stand-in for a server: real TLS, real signatures, and an answer
// that a test may replace. The agent side must not import the server's code.
type site struct {
	*httptest.Server
	ca, clients *pki.CA
	pin         wire.Pin
	clock       func() time.Time
	// grace is for how long after its end a certificate renews.
	grace time.Duration
	// told is the bundle of server authorities that nodes are told; nil for none.
	told   []byte
	asked  atomic.Int32
	answer atomic.Pointer[func(w http.ResponseWriter, r *http.Request) bool]
}

const bearer = "abcdef.abcdefghijklmnopqrstuvwxyz"

func newSite(t *testing.T, clock func() time.Time) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{clock: clock}
	s.ca, s.clients = authority(t, dir, "server", clock()), authority(t, dir, "client", clock())
	s.pin = pki.PinOf(s.ca.Cert)
	s.Server = httptest.NewUnstartedServer(nil)
	pipes := pipe.Listen(s.Listener, slog.New(slog.DiscardHandler))
	mux := s.mux()
	mux.Handle("GET "+wire.PathPipe, pipes.Handler())
	s.Listener, s.Config.Handler = pipes, mux
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, Certificates: []tls.Certificate{s.serving(t, wire.ServerIdentity)}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func authority(t *testing.T, dir, name string, now time.Time) *pki.CA {
	t.Helper()
	ca, err := pki.EnsureCA(filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key"), name, now)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func (s *site) serving(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := s.ca.Sign(&key.PublicKey, pki.Names{CommonName: "s", DNS: []string{name}, Server: true}, s.clock())
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

func (s *site) mux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+wire.PathCACerts, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(pki.EncodeCert(s.ca.Cert)) })
	mux.HandleFunc("GET "+wire.PathTime, func(w http.ResponseWriter, r *http.Request) {
		answer := wire.TimeResponse{Now: s.clock().UTC().Round(0)}
		signature, err := s.ca.SignDigest(wire.TimeDigest(r.URL.Query().Get("nonce"), answer.Now))
		answer.Signatures = [][]byte{[]byte("another"), signature}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
		writeJSON(w, http.StatusOK, answer)
	})
	mux.HandleFunc("POST "+wire.PathPrefix, func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		if answer := s.answer.Load(); answer != nil && (*answer)(w, r) {
			return
		}
		s.issue(w, r)
	})
	return mux
}

func (s *site) issue(w http.ResponseWriter, r *http.Request) {
	var request wire.JoinRequest
	if err := decodeJSON(r, &request); err != nil || request.Check() != nil {
		http.Error(w, "bad", http.StatusBadRequest)
		return
	}
	if r.URL.Path == wire.PathJoin && r.Header.Get("Authorization") != "Bearer "+bearer {
		refuse(w, http.StatusUnauthorized, wire.CodeTokenUnknown, "unknown token: kedge token create")
		return
	}
	if r.URL.Path == wire.PathRenew {
		at := s.clock()
		if end := r.TLS.PeerCertificates[0].NotAfter; at.After(end) && at.Before(end.Add(s.grace)) {
			at = end
		}
		if _, err := pki.VerifyNode(r.TLS.PeerCertificates, pki.Pool(s.clients.Cert), at); err != nil {
			refuse(w, http.StatusForbidden, wire.CodeIdentity, err.Error())
			return
		}
	}
	response, err := s.sign(request)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, http.StatusOK, response)
}

func (s *site) sign(request wire.JoinRequest) (*wire.JoinResponse, error) {
	response := &wire.JoinResponse{
		ServerCA: s.told, Now: s.clock(),
		ClientCA: pki.EncodeCert(s.clients.Cert),
		Cluster:  wire.ClusterConfig{ClusterDomain: "cluster.local", ClusterDNS: []netip.Addr{netip.MustParseAddr("10.43.0.10")}},
	}
	for _, part := range []struct {
		der   []byte
		names pki.Names
		into  *[]byte
	}{
		{request.KubeletClient, pki.NodeClient(request.Node, wire.Pin{1}), &response.KubeletClient},
		{request.KubeletServing, pki.NodeServing(request.Node, request.NodeIPs), &response.KubeletServing},
		{request.KubeProxy, pki.ProxyClient(wire.Pin{1}), &response.KubeProxy},
		{request.Agent, pki.AgentClient(request.Node, wire.Pin{1}), &response.Agent},
	} {
		public, err := pki.CheckRequest(part.der)
		if err != nil {
			return nil, err
		}
		cert, err := s.clients.Sign(public, part.names, s.clock())
		if err != nil {
			return nil, err
		}
		*part.into = pki.EncodeCert(cert)
	}
	return response, nil
}

func (s *site) token() string {
	id, secret, _ := strings.Cut(bearer, ".")
	return wire.Token{Pin: s.pin, ID: id, Secret: secret}.Encode()
}

func (s *site) config(t *testing.T) Config {
	t.Helper()
	dir := t.TempDir()
	return Config{
		Layout: paths.Layout{DataDir: filepath.Join(dir, "data"), RunDir: filepath.Join(dir, "run")}, Server: s.URL, Token: s.token(),
		NodeName: "edge-1", Now: s.clock, JoinTimeout: 20 * time.Second,
	}
}

func start(t *testing.T, config Config) *Enroll {
	t.Helper()
	e, err := New(config, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	e.pace.joinFirst, e.pace.joinLast = time.Millisecond, 5*time.Millisecond
	e.pace.check = func(time.Duration) time.Duration { return 2 * time.Millisecond }
	e.pace.first, e.pace.last = time.Millisecond, 2*time.Millisecond
	return e
}

func mustJoin(t *testing.T, config Config) *Enroll {
	t.Helper()
	e := start(t, config)
	if err := e.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	return e
}

func isEmpty(t *testing.T, dir string) bool {
	t.Helper()
	empty := true
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		empty = empty && d.IsDir()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return empty
}
