package registries

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// listener is where no password may come, and what came all the same.
type listener struct {
	*httptest.Server
	mu     sync.Mutex
	seen   []string
	answer http.HandlerFunc
}

func newListener(t *testing.T) *listener {
	t.Helper()
	l := &listener{}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		l.mu.Lock()
		l.seen = append(l.seen, r.Header.Get("Authorization")+string(body))
		l.mu.Unlock()
		if l.answer != nil {
			l.answer(w, r)
			return
		}
		_, _ = io.WriteString(w, `{"token":"got"}`)
	}))
	t.Cleanup(l.Close)
	return l
}

// heard is all proof of who somebody is that came.
func (l *listener) heard() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.seen, "")
}

// secure is a registry that speaks https.
func secure(t *testing.T, answer http.HandlerFunc) *url.URL {
	t.Helper()
	s := httptest.NewTLSServer(answer)
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL + "/v2")
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// trusted is a proxy to a registry of [secure], whose certificate it believes
// without being told to believe any.
func trusted(t *testing.T, rt route) *proxy {
	t.Helper()
	p := serveRoute(t, rt)
	for _, u := range *p.routes.Load() {
		u.transport.TLSClientConfig.InsecureSkipVerify = true
	}
	return p
}

func challenged(realm string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer got" {
			return
		}
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm=%q,service="x"`, realm))
		w.WriteHeader(http.StatusUnauthorized)
	}
}

func TestTokenServerWithoutEncryptionSeesNoPasswordOfAnHTTPSRegistry(t *testing.T) {
	for name, who := range map[string]Auth{"password": right, "identity token": {IdentityToken: "identity"}} {
		plain := newListener(t)
		reg := secure(t, challenged(plain.URL))
		resp, _ := ask(t, trusted(t, route{upstream: reg, host: Host{Auth: who}}), "GET", "a/manifests/1", Auth{})
		if resp.StatusCode != http.StatusBadGateway || !strings.Contains(resp.Status, "https") || plain.heard() != "" {
			t.Errorf("%s: %s, the token server heard %q", name, resp.Status, plain.heard())
		}
		// Nothing to hide; and where any certificate is believed.
		for _, h := range []Host{{}, {Auth: who, TLS: TLS{Insecure: true}}} {
			if resp, body := ask(t, trusted(t, route{upstream: reg, host: h}), "GET", "a/manifests/1", Auth{}); resp.StatusCode != http.StatusOK {
				t.Errorf("%s, %+v: %s %s", name, h, resp.Status, body)
			}
		}
	}
}

func TestRedirectTakesNoPasswordOutOfEncryption(t *testing.T) {
	plain := newListener(t)
	reg := secure(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") == "" && r.Method != http.MethodPost:
			w.Header().Set("WWW-Authenticate", "Basic realm=x")
			w.WriteHeader(http.StatusUnauthorized)
		default:
			http.Redirect(w, r, plain.URL, http.StatusTemporaryRedirect) // the same host, for net/http
		}
	})
	resp, _ := ask(t, trusted(t, route{upstream: reg, host: Host{Auth: right}}), "GET", "a/blobs/x", Auth{})
	if resp.StatusCode != http.StatusBadGateway || !strings.Contains(resp.Status, "https") || plain.heard() != "" {
		t.Errorf("%s, and on the way was read %q", resp.Status, plain.heard())
	}
	tokens := strings.TrimSuffix(reg.String(), "/v2") + "/token"
	rt := route{upstream: secure(t, challenged(tokens)), host: Host{Auth: Auth{IdentityToken: "identity"}}}
	resp, _ = ask(t, trusted(t, rt), "GET", "a/blobs/x", Auth{})
	if resp.StatusCode != http.StatusBadGateway || plain.heard() != "" {
		t.Errorf("of the token server: %s, and on the way was read %q", resp.Status, plain.heard())
	}
}

func TestBlobsMayComeFromAnotherHostWithoutEncryption(t *testing.T) {
	store := newListener(t)
	reg := secure(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, strings.Replace(store.URL, "127.0.0.1", "localhost", 1), http.StatusTemporaryRedirect)
	})
	rt := route{upstream: reg, host: Host{Auth: right}}
	if resp, body := ask(t, trusted(t, rt), "GET", "a/blobs/x", Auth{}); resp.StatusCode != http.StatusOK || store.heard() != "" {
		t.Errorf("%s %s, the store heard %q", resp.Status, body, store.heard())
	}
	// It must not ask for the password that the registry has not asked for.
	store.answer = challenged(store.URL)
	rt.host.TLS.Insecure = true
	if resp, _ := ask(t, trusted(t, rt), "GET", "a/blobs/x", Auth{}); resp.StatusCode != http.StatusUnauthorized || store.heard() != "" {
		t.Errorf("%s, the store heard %q", resp.Status, store.heard())
	}
}
