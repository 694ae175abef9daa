package join

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/server/certs"
)

// plant is a server behind real TLS with real authorities and a fake API.
type plant struct {
	*httptest.Server
	join  *Server
	ahead atomic.Int64 // how far the clock of the server is ahead
	api   *fake.Clientset
	certs certs.Config
	paths certs.Paths
	ca    *x509.Certificate
	log   *bytes.Buffer
}

func newPlant(t *testing.T, extra map[string]http.Handler) *plant {
	t.Helper()
	p := &plant{api: newAPI(), log: &bytes.Buffer{}}
	config := certs.Config{
		Layout: paths.New(filepath.Join(t.TempDir(), "data")), NodeName: "server-1", ClusterDomain: "cluster.local",
		ServiceIPs: []netip.Addr{netip.MustParseAddr("10.43.0.1")}, HTTPSPort: 6443,
	}
	p.certs = config
	var err error
	if p.paths, err = certs.Ensure(config, time.Now(), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if p.ca, err = pki.ReadCert(p.paths.ServerCA.Cert); err != nil {
		t.Fatal(err)
	}
	p.join = New(Config{
		Authorities: func() (*certs.Authorities, error) { return certs.ReadAuthorities(p.paths, 0) }, Grace: DefaultGrace,
		Now:        func() time.Time { return time.Now().Add(time.Duration(p.ahead.Load())) },
		BarredFile: filepath.Join(config.Layout.DataDir, "barred.json"),
		Cluster:    wire.ClusterConfig{ClusterDomain: "cluster.local"}, LocalNode: "server-1",
		Client: func() (kubernetes.Interface, error) { return p.api, nil },
	}, slog.New(slog.NewTextHandler(p.log, nil)))
	pair, err := tls.LoadX509KeyPair(p.paths.Serving.Cert, p.paths.Serving.Key)
	if err != nil {
		t.Fatal(err)
	}
	p.Server = httptest.NewUnstartedServer(p.join.RefuseBarred(p.join.Handler(extra)))
	p.Listener = p.join.Track(p.Listener)
	p.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequestClientCert}
	p.StartTLS()
	t.Cleanup(p.Close)
	return p
}

func (p *plant) token(t *testing.T, options TokenOptions) string {
	t.Helper()
	id, secret, err := NewTokens(p.api).Create(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	return id + "." + secret
}

// machine is a node's side: its keys and what it was issued.
type machine struct {
	device, key *ecdsa.PrivateKey
	cert        *tls.Certificate
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{}
	for _, into := range []**ecdsa.PrivateKey{&m.device, &m.key} {
		key, err := pki.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		*into = key
	}
	return m
}

// request asks with signing requests that name somebody else, which must not matter.
func (m *machine) request(t *testing.T, p *plant, node string) wire.JoinRequest {
	t.Helper()
	der, err := pki.NewRequest(m.key, "system:masters")
	if err != nil {
		t.Fatal(err)
	}
	r := wire.JoinRequest{Node: node, KubeletClient: der, KubeletServing: der, KubeProxy: der, Agent: der}
	if r.DeviceKey, err = x509.MarshalPKIXPublicKey(&m.device.PublicKey); err != nil {
		t.Fatal(err)
	}
	m.sign(t, p, &r)
	return r
}

func (m *machine) sign(t *testing.T, p *plant, r *wire.JoinRequest) {
	t.Helper()
	digest := r.Digest(pki.PinOf(p.ca))
	var err error
	if r.Signature, err = ecdsa.SignASN1(rand.Reader, m.device, digest[:]); err != nil {
		t.Fatal(err)
	}
}

func (p *plant) do(t *testing.T, m *machine, method, path, bearer string, body any) (int, []byte, http.Header) {
	t.Helper()
	config := pki.ServerTLS(pki.Pool(p.ca), time.Now)
	if m != nil && m.cert != nil {
		config.Certificates = []tls.Certificate{*m.cert}
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	text, ok := body.([]byte)
	if !ok {
		var err error
		if text, err = json.Marshal(body); err != nil {
			t.Fatal(err)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), method, p.URL+path, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, answer, response.Header
}

func (p *plant) ask(t *testing.T, m *machine, path, bearer string, body any) (*wire.JoinResponse, *wire.Refusal) {
	t.Helper()
	status, text, _ := p.do(t, m, http.MethodPost, path, bearer, body)
	if status != http.StatusOK {
		refusal := &wire.Refusal{}
		if err := json.Unmarshal(text, refusal); err != nil || statusOf(refusal.Code) != status {
			t.Fatalf("status %d: %s", status, text)
		}
		return nil, refusal
	}
	response := &wire.JoinResponse{}
	if err := json.Unmarshal(text, response); err != nil {
		t.Fatal(err)
	}
	return response, nil
}

// admitted joins or fails the test, and keeps the certificate.
func (p *plant) admitted(t *testing.T, m *machine, bearer, node string) *wire.JoinResponse {
	t.Helper()
	response, refusal := p.ask(t, m, wire.PathJoin, bearer, m.request(t, p, node))
	if refusal != nil {
		t.Fatal(refusal)
	}
	cert := first(t, response.KubeletClient)
	m.cert = &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: m.key}
	return response
}

func first(t *testing.T, text []byte) *x509.Certificate {
	t.Helper()
	parsed, err := pki.ParseCerts(text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed[0]
}

func parsed(t *testing.T, m *machine) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(m.cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// requestOf is a request that came with the machine's certificate.
func requestOf(t *testing.T, m *machine) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{parsed(t, m)}}
	return r
}

// put stores a claim as it is.
func put(t *testing.T, api kubernetes.Interface, claim *Claim) {
	t.Helper()
	stored := record(nodePrefix+claim.Node, nodeRecord, NodeType, claim.data(nil))
	if _, err := api.CoreV1().Secrets(Namespace).Create(t.Context(), stored, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}
