package join

import (
	"crypto/ecdsa"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
)

const watchPath = wire.PathPrefix + "watch"

// watching answers at once and goes on until the connection ends.
func watching(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// openWatch starts a request that runs on, and returns its end.
func (p *plant) openWatch(t *testing.T, m *machine) <-chan error {
	t.Helper()
	config := pki.ServerTLS(pki.Pool(p.ca), time.Now)
	config.Certificates = append(config.Certificates, *m.cert)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL+watchPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Transport{TLSClientConfig: config}).RoundTrip(r)
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

// isConnected says whether a device has a connection.
func (p *plant) isConnected(device wire.Pin) (found bool) {
	p.join.conns.open.Range(func(_, conn any) bool {
		at := conn.(*tracked).device.Load()
		found = found || (at != nil && *at == device)
		return true
	})
	return found
}

func newWatchedPlant(t *testing.T) *plant {
	t.Helper()
	return newPlant(t, map[string]http.Handler{watchPath: http.HandlerFunc(watching)})
}

func TestRevokedMachineIsCutAndRefusedUntilItIsAllowed(t *testing.T) {
	p := newWatchedPlant(t)
	var cut []string
	token, m, other := p.token(t, TokenOptions{}), newMachine(t), newMachine(t)
	p.join.config.Cut = func(node string, why error) {
		cut = append(cut, node+": "+why.Error())
		if !p.isConnected(deviceOf(t, m)) {
			t.Error("its connections were closed before its link could be told why")
		}
	}
	p.admitted(t, m, token, "edge-1")
	p.admitted(t, other, token, "edge-2")
	end, stays := p.openWatch(t, m), p.openWatch(t, other)
	runComponent(t, p.join)
	if err := NewNodes(p.api).Revoke(t.Context(), "edge-1"); err != nil {
		t.Fatal(err)
	}
	<-end
	eventually(t, "the machine is refused", func() bool {
		status, text, _ := p.do(t, m, http.MethodGet, wire.PathPing, "", nil)
		return status == http.StatusUnauthorized && strings.Contains(string(text), "kedge node allow edge-1")
	})
	for _, path := range []string{wire.PathJoin, wire.PathRenew} {
		m := &machine{device: m.device, key: m.key} // its certificate opens nothing at all
		if _, refusal := p.ask(t, m, path, token, m.request(t, p, "edge-1")); refusal == nil || refusal.Code != wire.CodeIdentity {
			t.Errorf("%s: %v", path, refusal)
		}
	}
	if err := p.join.AdmitNode(t.Context(), "edge-1", first(t, pki.EncodeCert(parsed(t, m)))); err == nil {
		t.Error("its link is admitted")
	}
	if len(cut) != 1 || !strings.HasPrefix(cut[0], "edge-1: this machine was revoked") {
		t.Errorf("cut: %q", cut)
	}
	select {
	case err := <-stays:
		t.Error("another machine's request was ended", err)
	default:
	}
	eventually(t, "after a restart it is refused before the API answers", func() bool {
		return New(p.join.config, slog.New(slog.DiscardHandler)).refusal(deviceOf(t, m)) != nil
	})
	if n, err := NewNodes(p.api).Allow(t.Context(), "edge-1"); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	eventually(t, "the machine is let in", func() bool {
		status, _, _ := p.do(t, m, http.MethodGet, wire.PathPing, "", nil)
		return status == http.StatusOK
	})
	eventually(t, "after a restart it is let in", func() bool {
		return New(p.join.config, slog.New(slog.DiscardHandler)).refusal(deviceOf(t, m)) == nil
	})
}

func deviceOf(t *testing.T, m *machine) wire.Pin {
	t.Helper()
	device, err := pki.HashPublicKey(&m.device.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return device
}

func TestRevokingNeedsAHolder(t *testing.T) {
	nodes := NewNodes(newAPI())
	if err := nodes.Revoke(t.Context(), "edge-1"); err == nil {
		t.Error("a name that nobody holds was revoked")
	}
	if _, err := nodes.Allow(t.Context(), "edge-1"); err == nil {
		t.Error("a name that nobody holds was allowed")
	}
}

func TestCertificateThatHasEndedRenewsWithinTheGraceOnly(t *testing.T) {
	p := newPlant(t, nil)
	token, m := p.token(t, TokenOptions{}), newMachine(t)
	p.admitted(t, m, token, "edge-1")
	p.ahead.Store(int64(pki.LeafLifetime + DefaultGrace - time.Hour))
	if _, refusal := p.ask(t, m, wire.PathRenew, "", m.request(t, p, "edge-1")); refusal != nil {
		t.Fatal(refusal)
	}
	stranger := &machine{key: m.key, cert: m.cert, device: newMachine(t).device}
	if _, refusal := p.ask(t, stranger, wire.PathRenew, "", stranger.request(t, p, "edge-1")); refusal == nil {
		t.Error("a certificate that has ended was renewed without the device's key")
	}
	p.ahead.Store(int64(pki.LeafLifetime + DefaultGrace + time.Hour))
	_, refusal := p.ask(t, m, wire.PathRenew, "", m.request(t, p, "edge-1"))
	if refusal == nil || !strings.Contains(refusal.Message, "kedge token create") || !strings.Contains(refusal.Message, "--certificate-grace") {
		t.Error("beyond the grace:", refusal)
	}
	if _, err := p.join.AuthorizeNode(requestOf(t, m)); err == nil {
		t.Error("a certificate that has ended opens more than a renewal")
	}
}

func TestClaimSaysWhomANodeTrusts(t *testing.T) {
	p := newPlant(t, nil)
	m := newMachine(t)
	p.admitted(t, m, p.token(t, TokenOptions{}), "edge-1")
	request := m.request(t, p, "edge-1")
	request.Trusts = []string{pki.PinOf(p.ca).String()}
	if _, refusal := p.ask(t, m, wire.PathRenew, "", request); refusal != nil {
		t.Fatal(refusal)
	}
	claim, err := NewNodes(p.api).Get(t.Context(), "edge-1")
	clientCA, bad := pki.ReadCert(p.paths.ClientCA.Cert)
	if err != nil || bad != nil {
		t.Fatal(err, bad)
	}
	if len(claim.Trusts) != 1 || claim.Trusts[0] != pki.PinOf(p.ca) || claim.Issuer != pki.PinOf(clientCA) {
		t.Errorf("got %+v", claim)
	}
}

func TestTimeIsSignedForTheQuestion(t *testing.T) {
	p := newPlant(t, nil)
	p.ahead.Store(int64(24 * time.Hour))
	status, text, _ := p.do(t, nil, http.MethodGet, wire.PathTime+"?nonce=n1", "", nil)
	var answer wire.TimeResponse
	if err := json.Unmarshal(text, &answer); err != nil || status != http.StatusOK || len(answer.Signatures) != 1 {
		t.Fatalf("%d %s %v", status, text, err)
	}
	key := p.ca.PublicKey.(*ecdsa.PublicKey)
	for nonce, want := range map[string]bool{"n1": true, "n2": false} {
		digest := wire.TimeDigest(nonce, answer.Now)
		if ecdsa.VerifyASN1(key, digest[:], answer.Signatures[0]) != want {
			t.Errorf("nonce %s: want %v", nonce, want)
		}
	}
	if time.Until(answer.Now) < 23*time.Hour {
		t.Error("it is not the server's clock:", answer.Now)
	}
	for _, nonce := range []string{"", strings.Repeat("n", wire.MaxNonce+1)} {
		if status, _, _ := p.do(t, nil, http.MethodGet, wire.PathTime+"?nonce="+nonce, "", nil); status != http.StatusBadRequest {
			t.Errorf("nonce of %d characters: %d", len(nonce), status)
		}
	}
}

func TestTimeIsNotSignedForMoreThanTheServerCanBear(t *testing.T) {
	p := newPlant(t, nil)
	for range maxConcurrent {
		p.join.slots <- struct{}{}
	}
	status, text, header := p.do(t, nil, http.MethodGet, wire.PathTime+"?nonce=n1", "", nil)
	if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || !strings.Contains(string(text), string(wire.CodeBusy)) {
		t.Errorf("got %d %s %v", status, text, header)
	}
	<-p.join.slots
	for range 2 { // the slot is given back
		if status, _, _ := p.do(t, nil, http.MethodGet, wire.PathTime+"?nonce=n1", "", nil); status != http.StatusOK {
			t.Errorf("with a free slot: %d", status)
		}
	}
}
