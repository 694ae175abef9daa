package kube

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	kubeletserver "k8s.io/kubernetes/pkg/kubelet/server"

	"github.com/kedge-io/kedge/internal/pki"
)

// wallAuth is upstream's side: it knows the authority and believes nobody.
type wallAuth struct {
	kubeletserver.AuthInterface
	roots *x509.CertPool
}

func (w wallAuth) VerifyOptions() (x509.VerifyOptions, bool) {
	return x509.VerifyOptions{Roots: w.roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, true
}

func (w wallAuth) AuthenticateRequest(*http.Request) (*authenticator.Response, bool, error) {
	return nil, false, nil
}

func TestCallersOfKubeletAreVerifiedByKedgesClock(t *testing.T) {
	dir, then := t.TempDir(), time.Now().AddDate(-3, 0, 0)
	ca, err := pki.EnsureCA(filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key"), "test", then)
	if err != nil {
		t.Fatal(err)
	}
	key, err := pki.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	// It has ended two years ago, going by the machine's clock.
	cert, err := ca.Sign(&key.PublicKey, pki.Names{CommonName: "system:kube-apiserver", Client: true}, then)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}
	for name, step := range map[string]struct {
		now  time.Time
		want bool
	}{"kedge's clock": {then.AddDate(0, 1, 0), true}, "the end has come": {time.Now(), false}} {
		auth := timely(wallAuth{roots: pki.Pool(ca.Cert)}, func() time.Time { return step.now })
		response, ok, err := auth.AuthenticateRequest(r)
		if ok != step.want || err != nil {
			t.Errorf("%s: %v, %v, want %v", name, ok, err, step.want)
		}
		if ok && response.User.GetName() != "system:kube-apiserver" {
			t.Errorf("%s: %s", name, response.User.GetName())
		}
	}
}
