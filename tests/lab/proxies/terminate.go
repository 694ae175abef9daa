package proxies

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"time"

	"github.com/kedge-io/kedge/tests/lab"
)

// Terminate ends TLS on the host with a certificate of its own, as the load balancers of providers
// and of companies do, and makes each request again to backend (address and port, TLS that it does
// not check). Websockets go through. The returned PEM is the certificate, for those who are to
// trust it; it names the host's address and NAME.lab.test.
func Terminate(h *lab.Host, address, backend string) (p *Proxy, certPEM []byte, err error) {
	pair, certPEM, err := selfSigned(h)
	if err != nil {
		return nil, nil, err
	}
	transport := &http.Transport{
		DialContext:     h.DialContext,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // it is a bad proxy: the link must not trust it
	}
	to := &url.URL{Scheme: "https", Host: backend}
	handler := func(p *Proxy, ctx context.Context) http.Handler {
		reverse := &httputil.ReverseProxy{
			Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to); r.SetXForwarded() },
			Transport: transport, FlushInterval: -1,
			ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
				p.refused.Add(1)
				http.Error(w, err.Error(), http.StatusBadGateway)
			},
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p.carried.Add(1)
			// An upgraded connection is not the server's any more and ends with this one.
			both, cancel := context.WithCancel(r.Context())
			defer cancel()
			defer context.AfterFunc(ctx, cancel)()
			reverse.ServeHTTP(w, r.WithContext(both))
		})
	}
	p, err = start(h, address, handler, func(s *http.Server, l net.Listener) error {
		// HTTP/1 only: a proxy of this kind has to know how to upgrade.
		s.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
		return s.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12}))
	})
	return p, certPEM, err
}

// selfSigned makes a certificate that is its own authority.
func selfSigned(h *lab.Host) (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	name := h.Name() + "." + lab.Zone
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{name}, IPAddresses: []net.IP{netip.MustParseAddr(h.IP()).AsSlice()},
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, certPEM, nil
}
