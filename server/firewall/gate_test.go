package firewall

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
)

// office may reach the API, edge is a node.
const (
	office   = "192.0.2.5"
	edge     = "203.0.113.7"
	stranger = "198.51.100.66"
	ownHost  = "192.0.2.1"
)

// strict denies everybody but the office; nodes are known.
func strict() *model.Ruleset {
	return &model.Ruleset{
		Host: model.HostRules{Ingress: model.Chain{
			Rules: []model.HostRule{
				{ID: "servers/ingress/office", Action: model.Allow, Protocol: model.TCP, Ports: []model.PortRange{model.Port(6443)}, Peers: []model.SetID{"cidr/office"}},
				{ID: "servers/ingress/web", Action: model.Allow, Protocol: model.TCP, Ports: []model.PortRange{model.Port(443)}, Anybody: true},
			},
			Default: model.Deny, DefaultFrom: "servers",
		}},
		Sets: map[model.SetID]model.Set{
			"cidr/office": {Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.4/30")}},
			plan.KnownSet: {Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.200/32"), netip.MustParsePrefix(edge + "/32")}},
		},
	}
}

func newGate(t *testing.T) *Firewall {
	t.Helper()
	f := New(Config{
		Port: 6443, Advertised: netip.MustParseAddr(ownHost), OwnNode: "server",
		Identify: func(r *http.Request) (string, error) {
			if cn := r.TLS.PeerCertificates[0].Subject.CommonName; cn != "" {
				return cn, nil
			}
			return "", errors.New("not a node's")
		},
	}, slog.New(slog.DiscardHandler))
	f.gate.set(strict(), model.Facts{Door: 6443})
	return f
}

// ask makes a request from an address, with the certificate of a node if named.
func ask(f *Firewall, from, node string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "https://"+ownHost+":6443/api/v1/nodes", nil)
	r.RemoteAddr = netip.AddrPortFrom(netip.MustParseAddr(from), 40000).String()
	r.TLS = nil
	if node != "" {
		cert := &x509.Certificate{}
		cert.Subject.CommonName = node
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}
	}
	w := httptest.NewRecorder()
	f.Gate(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })).ServeHTTP(w, r)
	return w
}

func TestGateIsAsOpenAsTheRules(t *testing.T) {
	f := newGate(t)
	f.places.exists("edge-1", nil)
	for _, c := range []struct {
		what, from, node string
		open             bool
	}{
		{"whom a rule allows", office, "", true},
		{"a known node", edge, "", true},
		{"a stranger", stranger, "", false},
		{"a stranger, again", stranger, "", false},
		{"this machine", "127.0.0.1", "", true},
		{"this machine by IPv6", "::1", "", true},
		{"this machine by its own address", ownHost, "", true},
		{"a known node as IPv4 in IPv6", "::ffff:" + edge, "", true},
		{"a node that roams", stranger, "edge-1", true},
		{"a node that was deleted", stranger, "edge-9", false},
	} {
		if w := ask(f, c.from, c.node); (w.Code == http.StatusTeapot) != c.open {
			t.Errorf("%s (%s): %d", c.what, c.from, w.Code)
		}
	}
}

func TestRefusalNamesFirewallAndRule(t *testing.T) {
	f := newGate(t)
	w := ask(f, stranger, "")
	var status metav1.Status
	if err := json.Unmarshal(w.Body.Bytes(), &status); err != nil {
		t.Fatal(err)
	}
	if w.Code != http.StatusForbidden || status.Reason != metav1.StatusReasonForbidden || status.Kind != "Status" {
		t.Errorf("%d %+v", w.Code, status)
	}
	for _, word := range []string{stranger, "6443", `default of EdgeFirewall "servers"`} {
		if !strings.Contains(status.Message, word) {
			t.Errorf("%q does not name %s", status.Message, word)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "https://server:6443/api", nil)
	r.RemoteAddr = stranger + ":40000"
	first := httptest.NewRecorder()
	f.Gate(nil).ServeHTTP(first, r)
	if text := first.Body.String(); first.Code != http.StatusForbidden || !strings.HasPrefix(text, "the edge firewall keeps "+stranger) {
		t.Errorf("clients that learn what the API has are told %d %q", first.Code, text)
	}
	rs := strict()
	rs.Host.Ingress.Rules = append([]model.HostRule{{ID: "no/ingress/nobody", Action: model.Reject, Anybody: true}}, rs.Host.Ingress.Rules...)
	f.gate.set(rs, model.Facts{})
	if body := ask(f, stranger, "").Body.String(); !strings.Contains(body, `rule \"nobody\" of EdgeFirewall \"no\"`) {
		t.Errorf("got %s", body)
	}
}

func TestGateFollowsTheRules(t *testing.T) {
	f := newGate(t)
	if ask(f, stranger, "").Code != http.StatusForbidden {
		t.Error("a stranger was let in")
	}
	f.gate.set(nil, model.Facts{})
	if ask(f, stranger, "").Code != http.StatusTeapot {
		t.Error("closed without rules")
	}
	f.gate.set(strict(), model.Facts{Failsafe: []model.Failsafe{{From: netip.MustParsePrefix(stranger + "/32"), Port: 6443}}})
	if ask(f, stranger, "").Code != http.StatusTeapot {
		t.Error("closed for whom the failsafe list names")
	}
}

func TestGateKnowsTheNamesOfRules(t *testing.T) {
	f := newGate(t)
	names := map[string][]netip.Addr{}
	f.UseNames(func() map[string][]netip.Addr { return names })
	rs := strict()
	rs.Sets["dns/home"] = model.Set{Name: "home"}
	rs.Host.Ingress.Rules = append(rs.Host.Ingress.Rules, model.HostRule{
		ID: "servers/ingress/home", Action: model.Allow, Protocol: model.TCP, Ports: []model.PortRange{model.Port(6443)}, Peers: []model.SetID{"dns/home"},
	})
	f.gate.set(rs, model.Facts{})
	if ask(f, stranger, "").Code != http.StatusForbidden {
		t.Error("a stranger was let in")
	}
	names = map[string][]netip.Addr{"home": {netip.MustParseAddr(stranger)}}
	if ask(f, stranger, "").Code != http.StatusTeapot {
		t.Error("who has the name now is kept out")
	}
}

func TestStrangersDoNotFillTheMemory(t *testing.T) {
	f := newGate(t)
	addr := netip.MustParseAddr("100.64.0.0")
	for range maxVerdicts + 100 {
		addr = addr.Next()
		if v := f.gate.ask(netip.AddrPortFrom(addr, 1), netip.MustParseAddrPort(ownHost+":6443")); v.open {
			t.Fatalf("%s was let in", addr)
		}
	}
	if n := len(f.gate.rules.Load().verdicts); n != maxVerdicts {
		t.Errorf("%d verdicts are kept", n)
	}
}
