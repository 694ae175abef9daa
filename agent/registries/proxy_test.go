package registries

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// newAuthority is a certificate that nobody else trusts.
func newAuthority(t *testing.T) (text string, key *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "site"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), key
}

// registry is a registry that lets user in with password, by one of the schemes.
type registry struct {
	*httptest.Server
	scheme, user, password string
	refresh                string // identity token
	asked                  []string
}

func newRegistry(t *testing.T, scheme string) *registry {
	r := &registry{scheme: scheme, user: "node", password: "right", refresh: "identity"}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.Close)
	return r
}

func (r *registry) serve(w http.ResponseWriter, req *http.Request) {
	if req.URL.Path == "/token" {
		r.token(w, req)
		return
	}
	r.asked = append(r.asked, req.Method+" "+req.URL.Path)
	switch name, password, _ := req.BasicAuth(); {
	case r.scheme == "basic" && (name != r.user || password != r.password):
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
	case r.scheme == "bearer" && req.Header.Get("Authorization") != "Bearer for repository:real/app:pull":
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+r.URL+`/token",service="x",scope="repository:real/app:pull"`)
		w.WriteHeader(http.StatusUnauthorized)
	case strings.HasSuffix(req.URL.Path, "/cut"):
		w.Header().Set("Content-Length", "200000")
		_, _ = io.WriteString(w, strings.Repeat("half", 25000))
	default:
		w.Header().Set("Docker-Content-Digest", "sha256:x")
		_, _ = io.WriteString(w, "content of "+req.URL.Path+"?"+req.URL.RawQuery)
	}
}

func (r *registry) token(w http.ResponseWriter, req *http.Request) {
	name, password, _ := req.BasicAuth()
	if !(name == r.user && password == r.password) && req.PostFormValue("refresh_token") != r.refresh {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"token": "for " + req.FormValue("scope"), "expires_in": 300})
}

// serveRoute starts a proxy with one route.
func serveRoute(t testing.TB, r route) *proxy {
	t.Helper()
	p, err := newProxy(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.serve(ctx) }()
	u, err := newUpstream(r)
	if err != nil {
		t.Fatal(err)
	}
	p.set(map[string]*upstream{"/docker.io/0/x": u})
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		u.transport.CloseIdleConnections()
	})
	return p
}

func upstreamOf(r *registry) *url.URL {
	u, _ := url.Parse(r.URL + "/v2")
	return u
}

// ask makes a request as containerd does: with the key, and with a token that it
// gets with the pod's password.
func ask(t *testing.T, p *proxy, method, path string, pod Auth) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+p.entrance.address+"/docker.io/0/x/v2/"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(keyHeader, string(p.entrance.key))
	req.Header.Set("Authorization", "Bearer "+pod.word())
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		body = append(body, " (cut)"...)
	}
	return resp, string(body)
}

var right, bad = Auth{Username: "node", Password: "right"}, Auth{Username: "node", Password: "wrong"}

func TestPasswordsOpenRegistriesOfBothKinds(t *testing.T) {
	rewrites := full(t).Mirrors["docker.io"].Rewrites
	for _, scheme := range []string{"basic", "bearer"} {
		for name, c := range map[string]struct {
			set, pod Auth
			own      bool
			status   int
			says     string
		}{
			"of the settings":                {right, Auth{}, false, 200, ""},
			"of the pod":                     {Auth{}, right, true, 200, ""},
			"of the pod before the settings": {bad, right, true, 200, ""},
			"of a mirror, not the pod's":     {right, bad, false, 200, ""},
			"bad":                            {bad, Auth{}, false, 0, "registries.yaml"},
			"bad one of the pod":             {right, bad, true, 0, "imagePullSecrets"},
			"none":                           {Auth{}, Auth{}, false, 0, "password"},
		} {
			r := newRegistry(t, scheme)
			rt := route{upstream: upstreamOf(r), host: Host{Auth: c.set}, own: c.own, rewrites: rewrites}
			resp, body := ask(t, serveRoute(t, rt), "GET", "real/app/manifests/1", c.pod)
			if c.status != 0 && (resp.StatusCode != c.status || !strings.HasPrefix(body, "content of /v2/real/app/manifests/1")) {
				t.Errorf("%s, %s: %s %s", scheme, name, resp.Status, body)
			}
			if c.status == 0 && (resp.StatusCode < 400 || !strings.Contains(resp.Status, c.says) || strings.Contains(resp.Status+body, "wrong")) {
				t.Errorf("%s, %s: %s %s", scheme, name, resp.Status, body)
			}
		}
	}
}

func TestIdentityTokenIsExchanged(t *testing.T) {
	r := newRegistry(t, "bearer")
	p := serveRoute(t, route{upstream: upstreamOf(r), host: Host{Auth: Auth{IdentityToken: "identity"}}})
	for range 2 {
		if resp, body := ask(t, p, "HEAD", "real/app/manifests/1", Auth{}); resp.StatusCode != 200 {
			t.Errorf("%s %s", resp.Status, body)
		}
	}
	if len(r.asked) != 3 {
		t.Errorf("the token was not kept: %v", r.asked)
	}
}

func TestRepositoriesAreRewrittenForManifestsAndBlobs(t *testing.T) {
	r := newRegistry(t, "")
	p := serveRoute(t, route{upstream: upstreamOf(r), rewrites: full(t).Mirrors["docker.io"].Rewrites})
	for path, want := range map[string]string{
		"library/app/manifests/1?ns=docker.io": "content of /v2/site/app/manifests/1?ns=docker.io",
		"library/app/blobs/sha256:ab":          "content of /v2/site/app/blobs/sha256:ab?",
		"other/app/manifests/1":                "content of /v2/other/app/manifests/1?",
		"library/manifests/manifests/1":        "content of /v2/site/manifests/manifests/1?",
	} {
		if _, body := ask(t, p, "GET", path, Auth{}); body != want {
			t.Errorf("%s: %s", path, body)
		}
	}
}

func TestRedirectIsFollowedWithoutThePassword(t *testing.T) {
	other := newRegistry(t, "")
	var seen http.Header
	other.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header })
	r := newRegistry(t, "")
	r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if _, _, ok := req.BasicAuth(); !ok {
			w.Header().Set("WWW-Authenticate", "Basic realm=x")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.Redirect(w, req, strings.Replace(other.URL, "127.0.0.1", "localhost", 1), http.StatusTemporaryRedirect)
	})
	if resp, _ := ask(t, serveRoute(t, route{upstream: upstreamOf(r), host: Host{Auth: right}}), "GET", "a/blobs/x", Auth{}); resp.StatusCode != 200 {
		t.Errorf("got %s", resp.Status)
	}
	if seen == nil || seen.Get("Authorization") != "" || seen.Get(keyHeader) != "" {
		t.Errorf("the other host saw %v", seen)
	}
}

func TestDownloadThatIsCutDoesNotLookWhole(t *testing.T) {
	p := serveRoute(t, route{upstream: upstreamOf(newRegistry(t, ""))})
	if _, body := ask(t, p, "GET", "a/blobs/cut", Auth{}); !strings.HasSuffix(body, "(cut)") {
		t.Errorf("got %q", body)
	}
}

func TestUnreachableMirrorIsNamedInTheStatusLine(t *testing.T) {
	r := newRegistry(t, "")
	r.Close()
	resp, _ := ask(t, serveRoute(t, route{upstream: upstreamOf(r)}), "HEAD", "a/manifests/1", Auth{})
	if resp.StatusCode != http.StatusBadGateway || !strings.Contains(resp.Status, "mirror "+upstreamOf(r).Host) || !strings.Contains(resp.Status, "refused") {
		t.Errorf("got %q", resp.Status)
	}
}

func TestMirrorThatSaysNothingIsGivenUp(t *testing.T) {
	silent := make(chan struct{})
	r := newRegistry(t, "")
	r.Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-silent })
	defer close(silent)
	p := serveRoute(t, route{upstream: upstreamOf(r)})
	for _, u := range *p.routes.Load() {
		u.limit = time.Millisecond
	}
	if resp, _ := ask(t, p, "HEAD", "a/manifests/1", Auth{}); resp.StatusCode != http.StatusBadGateway || !strings.Contains(resp.Status, errSlow.Error()) {
		t.Errorf("got %q", resp.Status)
	}
}

func TestProxyAnswersNobodyWithoutTheKeyAndChangesNothing(t *testing.T) {
	r := newRegistry(t, "")
	p := serveRoute(t, route{upstream: upstreamOf(r), host: Host{Auth: right}})
	p.entrance.key = "other" // what ask sends
	key := p.entrance
	p.entrance.key = "real"
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+key.address+"/docker.io/0/x/v2/a/manifests/1", nil)
	req.Header.Set(keyHeader, "other")
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("%v %v", resp, err)
	}
	_ = resp.Body.Close()
	if resp, _ := ask(t, p, "POST", "a/blobs/uploads/", Auth{}); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("got %s", resp.Status)
	}
	if len(r.asked) > 0 {
		t.Errorf("the registry was asked %v", r.asked)
	}
}

func TestChallengesAreRead(t *testing.T) {
	for header, want := range map[string]string{
		`Basic realm="a b"`: "basic a b",
		`Bearer realm="https://t/x?y=z",service="s, t",scope="repository:a:pull"`: "bearer https://t/x?y=z s, t repository:a:pull",
		`bearer realm=https://t , service=s`:                                      "bearer https://t s",
		`Bearer realm="a\"b`:                                                      `bearer a"b`,
		`Negotiate`:                                                               "negotiate",
		``:                                                                        "",
	} {
		scheme, p := challenge(header)
		if got := strings.TrimSpace(strings.Join(strings.Fields(scheme+" "+p["realm"]+" "+p["service"]+" "+p["scope"]), " ")); got != want {
			t.Errorf("%s: %q", header, got)
		}
	}
}
