package enroll

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
)

// replaceAuthorities makes a site forget its authorities, as after rotate-ca finish.
func (s *site) replaceAuthorities(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	s.ca, s.clients = authority(t, dir, "next server", s.clock()), authority(t, dir, "next client", s.clock())
	s.pin = pki.PinOf(s.ca.Cert)
	s.TLS.Certificates = []tls.Certificate{s.serving(t, wire.ServerIdentity)}
}

func TestNodeThatWasOffWhenItsAuthoritiesWentJoinsAgainAsTheSameMachine(t *testing.T) {
	s := newSite(t, time.Now)
	config := s.config(t)
	before := mustJoin(t, config)
	device, err := pki.ReadKey(before.files.DeviceKey)
	if err != nil {
		t.Fatal(err)
	}
	s.replaceAuthorities(t)
	var asked []string
	answer := func(_ http.ResponseWriter, r *http.Request) bool {
		asked = append(asked, r.URL.RequestURI())
		return false
	}
	s.answer.Store(&answer)
	config.Token = s.token()
	e := mustJoin(t, config)
	if id := e.Identity(); id.Pin != s.pin || id.Node != "edge-1" {
		t.Errorf("identity %+v", id)
	}
	if len(asked) != 1 || asked[0] != wire.PathJoin+"?"+wire.QueryAgain+"=true" {
		t.Errorf("asked %q: another cluster would have let it in as a new machine", asked)
	}
	if after, err := pki.ReadKey(e.files.DeviceKey); err != nil || !after.Equal(device) {
		t.Error("it is another machine", err)
	}
	mustJoin(t, config)
	if len(asked) != 1 {
		t.Errorf("a later start asked %q", asked[1:])
	}
}

func TestNodeWithATokenOfReplacedAuthoritiesStartsWithoutAServerAndJoinsAgainWhenItCan(t *testing.T) {
	s := newSite(t, time.Now)
	config := s.config(t)
	mustJoin(t, config)
	s.replaceAuthorities(t)
	config.Token = s.token()
	away := func(w http.ResponseWriter, _ *http.Request) bool {
		refuse(w, http.StatusServiceUnavailable, wire.CodeNotReady, "not yet")
		return true
	}
	s.answer.Store(&away)
	e := mustJoin(t, config)
	if e.Identity().Pin == s.pin {
		t.Fatal("it trusts an authority that has not let it in")
	}
	s.answer.Store(nil)
	run(t, e)
	eventually(t, "it has joined again", func() bool { return e.Identity().Pin == s.pin })
	if e.due() {
		t.Error("it asks on")
	}
}

func TestNodeThatAnotherClusterDoesNotKnowStaysInItsOwn(t *testing.T) {
	s, other := newSite(t, time.Now), newSite(t, time.Now)
	config := s.config(t)
	mustJoin(t, config)
	stranger := func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Has(wire.QueryAgain) {
			refuse(w, http.StatusForbidden, wire.CodeIdentity, "this machine has not joined this cluster before")
		}
		return r.URL.Query().Has(wire.QueryAgain)
	}
	other.answer.Store(&stranger)
	moved := config
	moved.Server, moved.Token = other.URL, other.token()
	err := start(t, moved).Join(t.Context())
	if err == nil || !strings.Contains(err.Error(), "not joined this cluster") || !strings.Contains(err.Error(), "remove the token, or begin again with: kedge reset") {
		t.Fatal(err)
	}
	if e := mustJoin(t, config); e.Identity().Pin != s.pin {
		t.Error("it trusts another cluster's authority")
	}
}
