package enroll

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/kubeclient"
	"github.com/kedge-io/kedge/internal/wire"
)

func TestFirstJoinWritesEverythingPrivately(t *testing.T) {
	s := newSite(t, time.Now)
	config := s.config(t)
	e := mustJoin(t, config)
	if id := e.Identity(); id.Node != "edge-1" || id.Cluster.ClusterDomain != "cluster.local" || id.Pin != s.pin {
		t.Errorf("identity %+v", id)
	}
	for _, path := range []string{e.files.KubeletConfig, e.files.ProxyConfig, e.files.AgentConfig} {
		rest, err := kubeclient.FromFile(path, "")
		if err != nil || rest.Host != DefaultAPIEndpoint {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, file := range (&keys{}).files(e.files) {
		if st, err := os.Stat(file.path); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file.path, st, err)
		}
	}
}

func TestLaterStartNeedsNeitherServerNorToken(t *testing.T) {
	s := newSite(t, time.Now)
	config := s.config(t)
	mustJoin(t, config)
	s.Close()
	config.Token = ""
	mustJoin(t, config)
	// A board without a battery wakes up in 1970 and must still start.
	config.Now = func() time.Time { return time.Unix(100, 0) }
	mustJoin(t, config)
}

func TestWrongPinSendsNothingAndLeavesNothing(t *testing.T) {
	s := newSite(t, time.Now)
	config := s.config(t)
	config.Token = wire.Token{Pin: wire.Pin{9}, ID: "abcdef", Secret: strings.Repeat("a", 26)}.Encode()
	err := start(t, config).Join(t.Context())
	if err == nil || !isPermanent(err) || !strings.Contains(err.Error(), "kedge token create") || !strings.Contains(err.Error(), s.pin.String()) {
		t.Fatal(err)
	}
	if s.asked.Load() != 0 {
		t.Error("something was sent to a server that was not verified")
	}
	if !isEmpty(t, config.Layout.DataDir) {
		t.Error("files were left")
	}
}

func TestServerWithTheRightCAButAnotherCertificateGetsNothing(t *testing.T) {
	s, other := newSite(t, time.Now), newSite(t, time.Now)
	for name, cert := range map[string]tls.Certificate{
		"stranger's": other.serving(t, wire.ServerIdentity),
		"kubelet's":  s.serving(t, "edge-2"),
	} {
		impostor := httptest.NewUnstartedServer(s.mux())
		impostor.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		impostor.StartTLS()
		t.Cleanup(impostor.Close)
		config := s.config(t)
		config.Server = impostor.URL
		if err := start(t, config).Join(t.Context()); err == nil || !isPermanent(err) || !strings.Contains(err.Error(), "could not prove") {
			t.Errorf("%s: %v", name, err)
		}
		if s.asked.Load() != 0 || !isEmpty(t, config.Layout.DataDir) {
			t.Errorf("%s: something was sent or left", name)
		}
	}
}

func TestRefusalEndsAtOnceAndLeavesNothing(t *testing.T) {
	s := newSite(t, time.Now)
	for status, code := range map[int]wire.Code{
		http.StatusUnauthorized: wire.CodeTokenExpired, http.StatusConflict: wire.CodeNodeNameTaken, http.StatusBadRequest: wire.CodeBadRequest,
	} {
		answer := func(w http.ResponseWriter, _ *http.Request) bool {
			refuse(w, status, code, "no: kedge node replace edge-1")
			return true
		}
		s.answer.Store(&answer)
		s.asked.Store(0)
		config := s.config(t)
		err := start(t, config).Join(t.Context())
		var refusal *wire.Refusal
		if !errors.As(err, &refusal) || refusal.Code != code || !strings.Contains(err.Error(), "kedge node replace edge-1") {
			t.Errorf("%s: %v", code, err)
		}
		if s.asked.Load() != 1 {
			t.Errorf("%s: asked %d times", code, s.asked.Load())
		}
		if !isEmpty(t, config.Layout.DataDir) {
			t.Errorf("%s: files were left", code)
		}
	}
}

func TestJoinWaitsForAServerThatStarts(t *testing.T) {
	s := newSite(t, time.Now)
	answer := func(w http.ResponseWriter, _ *http.Request) bool {
		if s.asked.Load() > 5 {
			return false
		}
		refuse(w, http.StatusServiceUnavailable, wire.CodeNotReady, "not yet")
		return true
	}
	s.answer.Store(&answer)
	mustJoin(t, s.config(t))
	if s.asked.Load() != 6 {
		t.Errorf("asked %d times", s.asked.Load())
	}
}

func TestLostAnswerIsRepeatedByTheSameDevice(t *testing.T) {
	s := newSite(t, time.Now)
	var devices []string
	answer := func(w http.ResponseWriter, r *http.Request) bool {
		var request wire.JoinRequest
		body := peek(r)
		if err := decodeJSON(body, &request); err != nil {
			t.Error(err)
		}
		devices = append(devices, string(request.DeviceKey))
		switch len(devices) {
		case 1:
			panic(http.ErrAbortHandler)
		case 2:
			refuse(w, http.StatusConflict, wire.CodeNodeNameTaken, "no")
			return true
		}
		return false
	}
	s.answer.Store(&answer)
	config := s.config(t)
	if err := start(t, config).Join(t.Context()); err == nil {
		t.Fatal("joined against a refusal")
	}
	mustJoin(t, config)
	if len(devices) != 3 || devices[0] != devices[1] || devices[1] != devices[2] {
		t.Fatal("the device changed between attempts")
	}
}

func TestUnreachableServerEndsWithTheRemedy(t *testing.T) {
	s := newSite(t, time.Now)
	config := s.config(t)
	s.Close()
	config.JoinTimeout = 30 * time.Millisecond
	err := start(t, config).Join(t.Context())
	if err == nil || !strings.Contains(err.Error(), config.Server) || !strings.Contains(err.Error(), "check that the server runs") {
		t.Fatal(err)
	}
	if !isEmpty(t, config.Layout.DataDir) {
		t.Error("files were left")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := start(t, config).Join(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestFirstJoinWithoutATokenSaysWhatToDo(t *testing.T) {
	s := newSite(t, time.Now)
	config := s.config(t)
	config.Token = ""
	if err := start(t, config).Join(t.Context()); err == nil || !strings.Contains(err.Error(), "kedge token create") {
		t.Error(err)
	}
	if s.asked.Load() != 0 || !isEmpty(t, config.Layout.DataDir) {
		t.Error("something was sent or left")
	}
}

func TestNodeDoesNotBecomeAnotherByAccident(t *testing.T) {
	s := newSite(t, time.Now)
	config := s.config(t)
	mustJoin(t, config)
	renamed := config
	renamed.NodeName = "edge-2"
	if err := start(t, renamed).Join(t.Context()); err == nil || !strings.Contains(err.Error(), "--node-name edge-1") {
		t.Error(err)
	}
	moved := config
	moved.Token = newSite(t, time.Now).token()
	if err := start(t, moved).Join(t.Context()); err == nil || !strings.Contains(err.Error(), "kedge reset") {
		t.Error(err)
	}
}

func TestHalfWrittenFilesAreJoinedAgain(t *testing.T) {
	s := newSite(t, time.Now)
	config := s.config(t)
	e := mustJoin(t, config)
	device, err := os.ReadFile(e.files.DeviceKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{e.files.Record, e.files.AgentCert, e.files.ProxyKey, e.files.ServerCA, e.files.ClientCA} {
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		s.asked.Store(0)
		mustJoin(t, config)
		if s.asked.Load() != 1 {
			t.Errorf("%s: asked %d times", path, s.asked.Load())
		}
	}
	if after, err := os.ReadFile(e.files.DeviceKey); err != nil || string(after) != string(device) {
		t.Error("the device changed")
	}
}
