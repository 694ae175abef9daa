package join

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
)

// podBearer is a token of a pod on a node, as the API makes it.
func podBearer(node string, issued time.Time) string {
	claims, _ := json.Marshal(map[string]any{"iat": issued.Unix(), "kubernetes.io": map[string]any{"node": map[string]string{"name": node}}})
	return "e30." + base64.RawURLEncoding.EncodeToString(claims) + ".c2ln"
}

// withHeader asks for something with one header, and returns the status.
func (p *plant) withHeader(t *testing.T, name, value string) int {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, wire.PathPing, nil)
	r.Header.Set(name, value)
	w := httptest.NewRecorder()
	p.join.RefuseBarred(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
	return w.Code
}

func (p *plant) withBearer(t *testing.T, token string) int {
	t.Helper()
	return p.withHeader(t, "Authorization", "Bearer "+token)
}

func TestTokensOfPodsOnARevokedMachineAreRefusedHoweverTheyAreShown(t *testing.T) {
	p := newPlant(t, nil)
	p.admitted(t, newMachine(t), p.token(t, TokenOptions{}), "edge-1")
	runComponent(t, p.join)
	if err := NewNodes(p.api).Revoke(t.Context(), "edge-1"); err != nil {
		t.Fatal(err)
	}
	token := podBearer("edge-1", time.Now())
	eventually(t, "the token is refused", func() bool { return p.withBearer(t, token) == http.StatusUnauthorized })
	protocol := protocolPrefix + base64.RawURLEncoding.EncodeToString([]byte(token))
	for _, shown := range [][2]string{
		{"Authorization", "bearer " + token}, {"Authorization", " BEARER " + token + " and more "},
		{"Sec-WebSocket-Protocol", "v5.channel.k8s.io, " + protocol}, {"Sec-Websocket-Protocol", protocol},
	} {
		if status := p.withHeader(t, shown[0], shown[1]); status != http.StatusUnauthorized {
			t.Errorf("%s: %.40s: %d", shown[0], shown[1], status)
		}
	}
	for _, other := range []string{podBearer("edge-2", time.Now()), podBearer("", time.Now()), "a.b.c", "opaque", ""} {
		if status := p.withBearer(t, other); status != http.StatusOK {
			t.Errorf("bearer %q: %d", other, status)
		}
	}
}

func TestPodsOfTheMachineThatReplacedARevokedOneAreLetIn(t *testing.T) {
	p := newPlant(t, nil)
	stolen, next, token := newMachine(t), newMachine(t), p.token(t, TokenOptions{})
	p.admitted(t, stolen, token, "edge-1")
	before := podBearer("edge-1", time.Now().Add(-time.Hour))
	runComponent(t, p.join)
	nodes := NewNodes(p.api)
	for _, step := range []func() error{
		func() error { return nodes.Revoke(t.Context(), "edge-1") },
		func() error { return nodes.Replace(t.Context(), "edge-1") },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	p.admitted(t, next, token, "edge-1")
	eventually(t, "a token of the new machine's pods is taken", func() bool {
		return p.withBearer(t, podBearer("edge-1", time.Now())) == http.StatusOK
	})
	for when, s := range map[string]*Server{"now": p.join, "after a restart": New(p.join.config, slog.New(slog.DiscardHandler))} {
		b := s.barred.Load()
		if pod, _ := parsePodToken(before); !b.refusesPod(pod, time.Now()) {
			t.Errorf("%s: a token that was stolen with the first machine is taken", when)
		}
		if pod, _ := parsePodToken(podBearer("edge-1", time.Now())); b.refusesPod(pod, time.Now()) {
			t.Errorf("%s: the new machine's pods are refused", when)
		}
	}
	if pod, _ := parsePodToken(podBearer("edge-1", time.Unix(100, 0))); p.join.barred.Load().refusesPod(pod, time.Unix(200, 0)) {
		t.Error("pods are refused on a server whose clock shows 1970")
	}
}

// openWith starts a request with a token that runs on, and returns its end.
func (p *plant) openWith(t *testing.T, token string) <-chan error {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL+watchPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := (&http.Transport{TLSClientConfig: pki.ServerTLS(pki.Pool(p.ca), time.Now)}).RoundTrip(r)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatal(response, err)
	}
	end := make(chan error, 1)
	go func() {
		defer response.Body.Close()
		_, err := io.Copy(io.Discard, response.Body)
		end <- err
	}()
	return end
}

func TestWatchThatAPodOfARevokedMachineHasOpenIsEnded(t *testing.T) {
	p := newWatchedPlant(t)
	p.admitted(t, newMachine(t), p.token(t, TokenOptions{}), "edge-1")
	runComponent(t, p.join)
	end, stays := p.openWith(t, podBearer("edge-1", time.Now())), p.openWith(t, podBearer("edge-2", time.Now()))
	if err := NewNodes(p.api).Revoke(t.Context(), "edge-1"); err != nil {
		t.Fatal(err)
	}
	<-end
	select {
	case err := <-stays:
		t.Error("the watch of another machine's pod was ended", err)
	default:
	}
}

func TestConnectionOfCountlessPodsIsEndedRatherThanForgotten(t *testing.T) {
	here, there := net.Pipe()
	defer there.Close()
	one := &tracked{Conn: here, conns: &conns{}}
	for i := range maxPlaces {
		one.notePod(podBearer("edge-"+strconv.Itoa(i), time.Now()))
	}
	if len(one.places) != maxPlaces {
		t.Fatal(len(one.places))
	}
	one.notePod(podBearer("one-more", time.Now()))
	if _, err := here.Write([]byte("x")); err == nil {
		t.Error("the connection is open")
	}
}

func TestLinkThatIsMadeWhileItsMachineIsRevokedIsEnded(t *testing.T) {
	p := newPlant(t, nil)
	m := newMachine(t)
	p.admitted(t, m, p.token(t, TokenOptions{}), "edge-1")
	p.Close()
	// As in the server: nothing but the supervisor's own handler is before the link.
	admitted := make(chan struct{})
	link := httptest.NewUnstartedServer(p.join.Handler(map[string]http.Handler{wire.PathConnect: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := p.join.AdmitNode(r.Context(), "edge-1", r.TLS.PeerCertificates[0]); err != nil {
			t.Error(err)
		}
		close(admitted)
		watching(w, r)
	})}))
	link.Listener, link.TLS = p.join.Track(link.Listener), p.TLS
	link.StartTLS()
	defer link.Close()
	config := pki.ServerTLS(pki.Pool(p.ca), time.Now)
	config.Certificates = append(config.Certificates, *m.cert)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, link.URL+wire.PathConnect, nil)
		if response, err := (&http.Transport{TLSClientConfig: config}).RoundTrip(r); err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}
	}()
	<-admitted
	if n := p.join.conns.end(deviceOf(t, m)); n != 1 {
		t.Errorf("%d connections of the machine are known", n)
	}
	<-ended
}
