package enroll

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
)

func decodeJSON(r *http.Request, into any) error {
	return json.NewDecoder(io.LimitReader(r.Body, wire.MaxBody)).Decode(into)
}

// peek returns a request with a copy of the body and leaves r's unread.
func peek(r *http.Request) *http.Request {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	return &http.Request{Body: io.NopCloser(bytes.NewReader(body))}
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func refuse(w http.ResponseWriter, status int, code wire.Code, message string) {
	writeJSON(w, status, wire.Refusal{Code: code, Message: message})
}

// movable is a clock that a test can advance.
type movable struct{ offset atomic.Int64 }

func (m *movable) now() time.Time          { return time.Now().Add(time.Duration(m.offset.Load())) }
func (m *movable) advance(d time.Duration) { m.offset.Add(int64(d)) }

func run(t *testing.T, e *Enroll) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	ready := make(chan struct{})
	go func() { done <- e.Component().Run(ctx, func() { close(ready) }) }()
	<-ready
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatal("never came: " + what)
		case <-tick.C:
		}
	}
}

func TestRunningNodeRenewsWithItsCertificateAndReportsTrouble(t *testing.T) {
	clock := &movable{}
	s := newSite(t, clock.now)
	broken := atomic.Bool{}
	answer := func(w http.ResponseWriter, _ *http.Request) bool {
		if broken.Load() {
			refuse(w, http.StatusServiceUnavailable, wire.CodeNotReady, "not yet")
		}
		return broken.Load()
	}
	config := s.config(t)
	var trouble atomic.Pointer[error]
	config.Report = func(err error) { trouble.Store(&err) }
	e := mustJoin(t, config)
	s.answer.Store(&answer)
	first := e.end()
	run(t, e)
	broken.Store(true)
	clock.advance(280 * 24 * time.Hour)
	var refusal *wire.Refusal
	eventually(t, "a report", func() bool { p := trouble.Load(); return p != nil && errors.As(*p, &refusal) })
	broken.Store(false)
	eventually(t, "renewal", func() bool { return e.end().After(first) })
	eventually(t, "the all-clear", func() bool { return *trouble.Load() == nil })
	cert, err := pki.ReadCert(e.files.KubeletClientCert)
	if err != nil || !cert.NotAfter.After(first) {
		t.Error("the renewed certificate is not on disk", err)
	}
	got, err := e.TLS().GetClientCertificate(nil)
	if err != nil || !bytes.Equal(got.Certificate[0], cert.Raw) {
		t.Error("connections do not present the renewed certificate", err)
	}
}

func TestNewAddressOfTheNodeIsCertifiedWhileRunning(t *testing.T) {
	s := newSite(t, time.Now)
	config := s.config(t)
	mustJoin(t, config)
	config.NodeIPs = []netip.Addr{netip.MustParseAddr("192.0.2.77")}
	e := mustJoin(t, config)
	run(t, e)
	eventually(t, "the address", func() bool {
		cert, err := pki.ReadCert(e.files.KubeletServingCert)
		return err == nil && cert.VerifyHostname("192.0.2.77") == nil
	})
}

func TestNodeThatWasOffBeyondTheEndStartsAndRenewsWithoutAToken(t *testing.T) {
	clock := &movable{}
	s := newSite(t, clock.now)
	s.grace = 48 * time.Hour
	config := s.config(t)
	first := mustJoin(t, config).end()
	clock.advance(pki.LeafLifetime + time.Hour)
	s.TLS.Certificates[0] = s.serving(t, wire.ServerIdentity)
	config.Token = ""
	e := mustJoin(t, config)
	run(t, e)
	eventually(t, "renewal", func() bool { return e.end().After(first) })
}

func TestNodeBeyondTheGraceNeedsATokenAndSaysSo(t *testing.T) {
	clock := &movable{}
	s := newSite(t, clock.now)
	config := s.config(t)
	first := mustJoin(t, config).end()
	clock.advance(pki.LeafLifetime + time.Hour)
	s.TLS.Certificates[0] = s.serving(t, wire.ServerIdentity)
	without := config
	without.Token = ""
	var trouble atomic.Pointer[error]
	without.Report = func(err error) { trouble.Store(&err) }
	e := mustJoin(t, without)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Component().Run(ctx, func() {}) }()
	eventually(t, "a report", func() bool { p := trouble.Load(); return p != nil && isPermanent(*p) })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	again := mustJoin(t, config)
	run(t, again)
	eventually(t, "a join with the token", func() bool { return again.end().After(first) })
}

func TestNewKeysAreMadeWhenAsked(t *testing.T) {
	s := newSite(t, time.Now)
	e := mustJoin(t, s.config(t))
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	device := read(e.files.DeviceKey)
	run(t, e)
	for query, want := range map[string]bool{"": false, "?new-keys=false": false, "?new-keys=true": true} {
		kubelet, cert, w := read(e.files.KubeletClientKey), read(e.files.KubeletClientCert), httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, wire.PathRenewNow+query, nil)
		if e.RenewHandler().ServeHTTP(w, r); w.Code != http.StatusNoContent {
			t.Fatal(w.Code, w.Body)
		}
		if read(e.files.DeviceKey) != device || read(e.files.KubeletClientCert) == cert || (read(e.files.KubeletClientKey) != kubelet) != want {
			t.Errorf("%q: want the same device, another certificate, and another key of kubelet: %v", query, want)
		}
		if _, err := load(e.files); err != nil {
			t.Error(err)
		}
	}
}

func TestAKillBetweenKeyAndCertificateLosesNothing(t *testing.T) {
	s := newSite(t, time.Now)
	config := s.config(t)
	e := mustJoin(t, config)
	run(t, e)
	before, err := os.ReadFile(e.files.AgentCert)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.RenewNow(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	// As it is after the key was written and before the certificate was.
	if err := os.Rename(e.files.AgentCert, e.files.AgentCert+nextSuffix); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(e.files.AgentCert, before, 0o600); err != nil {
		t.Fatal(err)
	}
	s.asked.Store(0)
	mustJoin(t, config)
	if s.asked.Load() != 0 {
		t.Error("the node asked the server again")
	}
}

func TestNewAuthoritiesAreTrustedAndFormerTokensStayGood(t *testing.T) {
	s, next := newSite(t, time.Now), newSite(t, time.Now)
	config := s.config(t)
	e := mustJoin(t, config)
	run(t, e)
	for _, told := range [][]*x509.Certificate{{s.ca.Cert, next.ca.Cert}, {next.ca.Cert, s.ca.Cert}} {
		s.told = pki.EncodeCert(told...)
		if err := e.RenewNow(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		mustJoin(t, config) // with the token that names the first one
	}
	if pin := e.Identity().Pin; pin != next.pin {
		t.Errorf("the cluster's pin is %s, want %s", pin, next.pin)
	}
	config.Token = next.token()
	mustJoin(t, config)
}

func TestTimeIsLearnedWhereTheClockIsWrong(t *testing.T) {
	for _, off := range []time.Duration{-50 * 365 * 24 * time.Hour, 3 * 365 * 24 * time.Hour} {
		s := newSite(t, time.Now)
		config := s.config(t)
		var shift atomic.Int64
		shift.Store(int64(off))
		config.Now = func() time.Time { return time.Now().Add(time.Duration(shift.Load())) }
		config.Learn = func(now time.Time) { shift.Store(int64(time.Until(now))) }
		e := mustJoin(t, config)
		if d := time.Duration(shift.Load()).Abs(); d > time.Minute {
			t.Errorf("clock off by %s: still off by %s", off, d)
		}
		// The same while the node runs.
		shift.Store(int64(off))
		e.timed.Store(false)
		run(t, e)
		eventually(t, "the time", func() bool { return time.Duration(shift.Load()).Abs() < time.Minute })
	}
}

func TestTimeIsLearnedAnewWhenTheServersClockIsSetRight(t *testing.T) {
	clock := &movable{}
	clock.advance(24 * time.Hour) // the machine's own is right
	s := newSite(t, clock.now)
	config := s.config(t)
	var told atomic.Int64
	config.Learn = func(now time.Time) { told.Store(int64(time.Until(now))) }
	config.Now = func() time.Time { return time.Now().Add(time.Duration(told.Load())) }
	e := mustJoin(t, config)
	run(t, e)
	if ahead := time.Duration(told.Load()); ahead < 23*time.Hour {
		t.Fatal("it goes by another clock than the server's:", ahead)
	}
	clock.advance(-24 * time.Hour)
	eventually(t, "the right time", func() bool { return time.Duration(told.Load()).Abs() < time.Minute })
	eventually(t, "it is believed", e.timed.Load)
}

func TestTimeCountsOnlyWithTheSignatureOfAnAuthorityOfTheNode(t *testing.T) {
	s, other := newSite(t, time.Now), newSite(t, time.Now)
	config := s.config(t)
	config.Learn = func(time.Time) { t.Error("a time was believed") }
	e := start(t, config)
	if err := e.learnTime(t.Context(), []*x509.Certificate{other.ca.Cert}); err == nil {
		t.Error("a server of another cluster told the time")
	}
	answer := wire.TimeResponse{Now: time.Now()}
	signature, err := s.ca.SignDigest(wire.TimeDigest("old", answer.Now))
	answer.Signatures = [][]byte{signature}
	if err != nil || signed(answer, "new", []*x509.Certificate{s.ca.Cert}) {
		t.Error("an answer to another question was believed", err)
	}
}

func TestServersOwnNodeIsIssuedWithoutTheNetwork(t *testing.T) {
	s := newSite(t, time.Now)
	config := s.config(t)
	config.Server, config.Token = "", ""
	config.ServerCA = filepath.Join(t.TempDir(), "ca.crt")
	if err := pki.WriteCert(config.ServerCA, s.ca.Cert); err != nil {
		t.Fatal(err)
	}
	issued := 0
	config.Issue = func(_ context.Context, request wire.JoinRequest) (*wire.JoinResponse, error) {
		issued++
		return s.sign(request)
	}
	mustJoin(t, config)
	mustJoin(t, config)
	if issued != 1 || s.asked.Load() != 0 {
		t.Fatalf("issued %d times, asked %d times", issued, s.asked.Load())
	}
	// New authorities on the server must not leave the node with the old ones.
	if err := pki.WriteCert(config.ServerCA, newSite(t, time.Now).ca.Cert); err != nil {
		t.Fatal(err)
	}
	mustJoin(t, config)
	if issued != 2 {
		t.Fatal("the node kept certificates of a former authority")
	}
}
