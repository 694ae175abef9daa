package registries

import (
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

// BenchmarkBlob downloads 64 MiB from a registry with TLS: directly, as containerd
// does with a mirror that needs neither password nor rewrite, and through the proxy.
func BenchmarkBlob(b *testing.B) {
	blob := make([]byte, 64<<20)
	reg := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(blob) }))
	defer reg.Close()
	at, _ := url.Parse(reg.URL + "/v2")
	p := serveRoute(b, route{upstream: at, host: Host{Auth: right}})
	pool := x509.NewCertPool()
	pool.AddCert(reg.Certificate())
	for _, u := range *p.routes.Load() {
		u.transport.TLSClientConfig.RootCAs = pool
	}
	for name, to := range map[string]string{"direct": reg.URL + "/v2/a/blobs/x", "proxy": "http://" + p.entrance.address + "/docker.io/0/x/v2/a/blobs/x"} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(blob)))
			for range b.N {
				req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, to, nil)
				if err != nil {
					b.Fatal(err)
				}
				req.Header.Set(keyHeader, string(p.entrance.key))
				req.Header.Set("Authorization", "Bearer "+Auth{}.word())
				resp, err := reg.Client().Do(req)
				if err != nil {
					b.Fatal(err)
				}
				n, err := io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if err != nil || n != int64(len(blob)) {
					b.Fatal(n, err)
				}
			}
		})
	}
}
