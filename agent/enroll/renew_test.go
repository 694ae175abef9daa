package enroll

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
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

func TestExpiredNodeJoinsAgainWithATokenOnly(t *testing.T) {
	clock := &movable{}
	s := newSite(t, clock.now)
	config := s.config(t)
	e := mustJoin(t, config)
	clock.advance(pki.LeafLifetime + time.Hour)
	s.TLS.Certificates[0] = s.serving(t, wire.ServerIdentity)
	without := config
	without.Token = ""
	if err := start(t, without).Join(t.Context()); err == nil {
		t.Error("an expired node started without a token")
	}
	again := mustJoin(t, config)
	if !again.end().After(e.end()) {
		t.Error("nothing was renewed")
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
