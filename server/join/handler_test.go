package join

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
)

func TestServerChoosesEveryName(t *testing.T) {
	p := newPlant(t, nil)
	r := p.admitted(t, newMachine(t), p.token(t, TokenOptions{}), "edge-1")
	for text, want := range map[*[]byte][2]string{
		&r.KubeletClient: {"system:node:edge-1", "system:nodes"}, &r.KubeletServing: {"system:node:edge-1", "system:nodes"},
		&r.KubeProxy: {"system:kube-proxy", ""}, &r.Agent: {"system:kedge:agent:edge-1", pki.AgentGroup},
	} {
		cert := first(t, *text)
		if cert.Subject.CommonName != want[0] || strings.Join(cert.Subject.Organization, ",") != want[1] {
			t.Errorf("subject %s", cert.Subject)
		}
	}
	// What a kubelet serves with must not pass for the server.
	serving := first(t, r.KubeletServing)
	if _, err := serving.Verify(x509.VerifyOptions{Roots: pki.Pool(p.ca), DNSName: "127.0.0.1"}); err == nil {
		t.Error("a kubelet's certificate is trusted like the server's")
	}
	if r.Cluster.ClusterDomain != "cluster.local" {
		t.Errorf("%+v", r.Cluster)
	}
}

func TestTokensThatAreRefused(t *testing.T) {
	p := newPlant(t, nil)
	expired, used := p.token(t, TokenOptions{TTL: time.Nanosecond}), p.token(t, TokenOptions{Uses: 1})
	p.admitted(t, newMachine(t), used, "edge-1")
	for name, step := range map[string]struct {
		bearer string
		want   wire.Code
	}{
		"none":      {"", wire.CodeTokenMissing},
		"malformed": {"abc", wire.CodeTokenFormat},
		"unknown":   {"aaaaaa." + strings.Repeat("a", 26), wire.CodeTokenUnknown},
		"expired":   {expired, wire.CodeTokenExpired},
		"used up":   {used, wire.CodeTokenUsedUp},
	} {
		m := newMachine(t)
		_, refusal := p.ask(t, m, wire.PathJoin, step.bearer, m.request(t, p, "edge-2"))
		if refusal == nil || refusal.Code != step.want || !strings.Contains(refusal.Message, "kedge token create") {
			t.Errorf("%s: %v", name, refusal)
		}
	}
	if n := strings.Count(p.log.String(), "node refused"); n != 1 {
		t.Errorf("%d refusals of one address were logged", n)
	}
	for _, bearer := range []string{expired, used} {
		_, secret, _ := strings.Cut(bearer, ".")
		if strings.Contains(p.log.String(), secret) {
			t.Error("a secret was logged")
		}
	}
	if _, err := NewNodes(p.api).Get(t.Context(), "edge-2"); !errors.Is(err, ErrNoClaim) {
		t.Error("a refused machine took a name", err)
	}
}

func TestSameMachineJoinsAgainWithoutAnotherUse(t *testing.T) {
	p := newPlant(t, nil)
	token, m := p.token(t, TokenOptions{Uses: 1}), newMachine(t)
	p.admitted(t, m, token, "edge-1")
	p.admitted(t, m, token, "edge-1")
}

func TestSecondMachineIsToldHowToReplaceTheFirst(t *testing.T) {
	p := newPlant(t, nil)
	token, old, next := p.token(t, TokenOptions{}), newMachine(t), newMachine(t)
	p.admitted(t, old, token, "edge-1")
	_, refusal := p.ask(t, next, wire.PathJoin, token, next.request(t, p, "edge-1"))
	if refusal == nil || refusal.Code != wire.CodeNodeNameTaken || !strings.Contains(refusal.Message, "kedge node replace edge-1") {
		t.Fatal(refusal)
	}
	if _, refusal := p.ask(t, next, wire.PathJoin, token, next.request(t, p, "server-1")); refusal == nil || refusal.Code != wire.CodeNodeNameTaken {
		t.Fatal("the server's own name was given away", refusal)
	}
	runComponent(t, p.join)
	if err := NewNodes(p.api).Replace(t.Context(), "edge-1"); err != nil {
		t.Fatal(err)
	}
	p.admitted(t, next, token, "edge-1")
	eventually(t, "the replaced machine is refused", func() bool {
		status, _, _ := p.do(t, old, http.MethodGet, wire.PathPing, "", nil)
		return status == http.StatusUnauthorized
	})
	if status, _, _ := p.do(t, next, http.MethodGet, wire.PathPing, "", nil); status != http.StatusOK {
		t.Error("the new machine is refused", status)
	}
	old.cert = nil
	if _, refusal := p.ask(t, old, wire.PathJoin, token, old.request(t, p, "edge-9")); refusal == nil || refusal.Code != wire.CodeIdentity {
		t.Error("the replaced machine joined under another name", refusal)
	}
}

func TestSpoiltRequestsAreRefused(t *testing.T) {
	p := newPlant(t, nil)
	token, m, other := p.token(t, TokenOptions{Uses: 1}), newMachine(t), newMachine(t)
	good := m.request(t, p, "edge-1")
	foreign := good
	foreign.DeviceKey = other.request(t, p, "edge-1").DeviceKey
	renamed := good
	renamed.Node = "edge-2"
	badName := good
	badName.Node = "../x"
	m.sign(t, p, &badName)
	badCSR := good
	badCSR.KubeProxy = []byte("nonsense")
	m.sign(t, p, &badCSR)
	for name, body := range map[string]any{
		"another's device key": foreign, "changed after signing": renamed, "bad name": badName, "bad request": badCSR,
		"not JSON": []byte("{"), "too large": bytes.Repeat([]byte(" "), wire.MaxBody+1), "empty": []byte{},
	} {
		if _, refusal := p.ask(t, m, wire.PathJoin, token, body); refusal == nil || refusal.Code != wire.CodeBadRequest {
			t.Errorf("%s: %v", name, refusal)
		}
	}
	p.admitted(t, m, token, "edge-1") // the single use is still there
}

func TestRenewalIsForTheNodeItself(t *testing.T) {
	p := newPlant(t, nil)
	token, m, other := p.token(t, TokenOptions{}), newMachine(t), newMachine(t)
	p.admitted(t, m, token, "edge-1")
	p.admitted(t, other, token, "edge-2")
	if _, refusal := p.ask(t, m, wire.PathRenew, "", m.request(t, p, "edge-1")); refusal != nil {
		t.Fatal(refusal)
	}
	stranger, foreign := newMachine(t), newMachine(t)
	foreign.cert = m.cert // a stolen certificate cannot be used without its key, but a device may try another's name
	proxy := newMachine(t)
	response := p.admitted(t, proxy, token, "edge-3")
	proxy.cert = &tls.Certificate{Certificate: [][]byte{first(t, response.KubeProxy).Raw}, PrivateKey: proxy.key}
	for name, try := range map[string]func() *wire.Refusal{
		"no certificate": func() *wire.Refusal {
			_, r := p.ask(t, stranger, wire.PathRenew, token, stranger.request(t, p, "edge-1"))
			return r
		},
		"other node": func() *wire.Refusal { _, r := p.ask(t, m, wire.PathRenew, "", m.request(t, p, "edge-2")); return r },
		"other device": func() *wire.Refusal {
			_, r := p.ask(t, foreign, wire.PathRenew, "", foreign.request(t, p, "edge-1"))
			return r
		},
		"proxy": func() *wire.Refusal {
			_, r := p.ask(t, proxy, wire.PathRenew, "", proxy.request(t, p, "edge-3"))
			return r
		},
	} {
		if r := try(); r == nil || r.Code != wire.CodeIdentity {
			t.Errorf("%s: %v", name, r)
		}
	}
}

func TestAPIThatIsNotReadyIsNoRefusal(t *testing.T) {
	p := newPlant(t, nil)
	token := p.token(t, TokenOptions{})
	p.api.PrependReactor("get", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewServiceUnavailable("starting, internal detail")
	})
	m := newMachine(t)
	status, text, header := p.do(t, m, http.MethodPost, wire.PathJoin, token, m.request(t, p, "edge-1"))
	if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || strings.Contains(string(text), "detail") {
		t.Fatalf("%d %s %v", status, text, header)
	}
}

func TestOpenPathsAndMountedHandlers(t *testing.T) {
	var p *plant
	connect := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		node, err := p.join.AuthorizeNode(r)
		if err != nil {
			writeRefusal(w, asRefusal(err))
			return
		}
		_, _ = io.WriteString(w, node)
	})
	p = newPlant(t, map[string]http.Handler{wire.PathConnect: connect})
	if _, text, _ := p.do(t, nil, http.MethodGet, wire.PathCACerts, "", nil); !bytes.Equal(text, pki.EncodeCert(p.ca)) {
		t.Errorf("%s", text)
	}
	if status, _, _ := p.do(t, nil, http.MethodGet, wire.PathPrefix+"nothing", "", nil); status != http.StatusNotFound {
		t.Error(status)
	}
	m := newMachine(t)
	if status, _, _ := p.do(t, m, http.MethodGet, wire.PathConnect, "", nil); status != http.StatusForbidden {
		t.Error(status)
	}
	p.admitted(t, m, p.token(t, TokenOptions{}), "edge-1")
	if _, text, _ := p.do(t, m, http.MethodGet, wire.PathConnect, "", nil); string(text) != "edge-1" {
		t.Errorf("%s", text)
	}
}

func TestServersOwnNodeIsIssuedBeforeTheAPIAndRecordedAfterwards(t *testing.T) {
	p := newPlant(t, nil)
	m := newMachine(t)
	if _, err := p.join.IssueLocal(t.Context(), m.request(t, p, "edge-1")); codeOf(err) != wire.CodeIdentity {
		t.Fatal("issued for another node", err)
	}
	if _, err := p.join.IssueLocal(t.Context(), m.request(t, p, "server-1")); err != nil {
		t.Fatal(err)
	}
	runComponent(t, p.join)
	device, err := pki.HashPublicKey(&m.device.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the record", func() bool {
		claim, err := NewNodes(p.api).Get(t.Context(), "server-1")
		return err == nil && claim.Device == device
	})
}

func runComponent(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- s.Component().Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatal("ended early", err)
	}
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
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatal("never came: " + what)
		case <-tick.C:
		}
	}
}

func TestAddressOfAJoinIsHandedOnBeforeTheAnswerAndAfterARestart(t *testing.T) {
	p := newPlant(t, nil)
	var told []string
	p.join.config.Joining = func(_ context.Context, node string, addr netip.Addr) { told = append(told, node+" "+addr.String()) }
	m := newMachine(t)
	p.admitted(t, m, p.token(t, TokenOptions{}), "edge-1")
	if want := []string{"edge-1 127.0.0.1"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	again := New(p.join.config, slog.New(slog.DiscardHandler))
	recalled := make(chan string, 1)
	again.config.Joined = func(node string, addr netip.Addr, at time.Time) {
		recalled <- fmt.Sprint(node, " ", addr, " ", time.Since(at) < time.Hour)
	}
	runComponent(t, again)
	if got := <-recalled; got != "edge-1 127.0.0.1 true" {
		t.Errorf("recalled %q", got)
	}
	if err := again.Settled(t.Context(), "edge-1"); err != nil {
		t.Fatal(err)
	}
	third := New(again.config, slog.New(slog.DiscardHandler))
	runComponent(t, third)
	select {
	case got := <-recalled:
		t.Errorf("recalled %q, which has settled", got)
	default: // what is recalled is told before the component is ready
	}
}
