package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/wire"
)

var now = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

func testCA(t *testing.T, dir, name string) *CA {
	t.Helper()
	ca, err := EnsureCA(filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key"), name, now)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func serving() Names {
	return Names{CommonName: "server", DNS: []string{"localhost"}, IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}, Server: true}
}

func ensure(t *testing.T, dir string, ca *CA, names Names, at time.Time) (*x509.Certificate, bool) {
	t.Helper()
	cert, wrote, err := EnsureLeaf(filepath.Join(dir, "leaf.crt"), filepath.Join(dir, "leaf.key"), ca, names, at)
	if err != nil {
		t.Fatal(err)
	}
	return cert, wrote
}

func TestAuthorityIsMadeOnceAndKept(t *testing.T) {
	dir := t.TempDir()
	first, second := testCA(t, dir, "ca"), testCA(t, dir, "ca")
	if !first.Cert.Equal(second.Cert) {
		t.Fatal("the authority was replaced")
	}
	st, err := os.Stat(filepath.Join(dir, "ca.key"))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("key mode %v, %v", st.Mode(), err)
	}
	if PinOf(first.Cert) != PinOf(second.Cert) {
		t.Fatal("pins differ")
	}
	if hash, err := HashPublicKey(&first.key.PublicKey); err != nil || hash != PinOf(first.Cert) {
		t.Fatal("pin is not the hash of the key")
	}
}

func TestAuthorityIsCompletedAfterACrashBetweenKeyAndCertificate(t *testing.T) {
	dir := t.TempDir()
	key, _, err := EnsureKey(filepath.Join(dir, "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	if ca := testCA(t, dir, "ca"); !SameKey(ca.Cert, key) {
		t.Fatal("the key was replaced")
	}
}

func TestAuthorityWithoutItsKeyIsNeverReplaced(t *testing.T) {
	dir := t.TempDir()
	testCA(t, dir, "ca")
	path := filepath.Join(dir, "ca.key")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, err := EnsureCA(filepath.Join(dir, "ca.crt"), path, "ca", now)
	if err == nil || !strings.Contains(err.Error(), "restore") {
		t.Fatal(err)
	}
	other, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteKey(path, other); err != nil {
		t.Fatal(err)
	}
	if _, err := EnsureCA(filepath.Join(dir, "ca.crt"), path, "ca", now); err == nil || !strings.Contains(err.Error(), "does not belong") {
		t.Fatal(err)
	}
}

func TestLeafIsRenewedOnlyForAReason(t *testing.T) {
	dir := t.TempDir()
	ca := testCA(t, dir, "ca")
	first, wrote := ensure(t, dir, ca, serving(), now)
	if !wrote {
		t.Fatal("nothing was written")
	}
	if !first.NotBefore.Equal(Beginning) || !IssuedAt(first).Equal(now) {
		t.Fatalf("valid from %v, issued at %v", first.NotBefore, IssuedAt(first))
	}
	fewer := serving()
	fewer.IPs = fewer.IPs[:1]
	more := serving()
	more.DNS = append(more.DNS, "example.org")
	other := serving()
	other.CommonName = "other"
	for _, step := range []struct {
		what  string
		names Names
		at    time.Time
		want  bool
	}{
		{"again", serving(), now, false},
		{"fewer addresses", fewer, now, false},
		{"a clock that went back", serving(), now.Add(-time.Hour), false},
		{"more than a third left", serving(), first.NotAfter.Add(-122 * 24 * time.Hour), false},
		{"less than a third left", serving(), first.NotAfter.Add(-121 * 24 * time.Hour), true},
		{"more addresses", more, now.Add(300 * 24 * time.Hour), true},
		{"other name", other, now.Add(301 * 24 * time.Hour), true},
		{"made by a clock that was years ahead", other, now.Add(24 * time.Hour), true},
		{"expired", other, now.Add(1000 * 24 * time.Hour), true},
	} {
		cert, wrote := ensure(t, dir, ca, step.names, step.at)
		if wrote != step.want {
			t.Errorf("%s: wrote %v", step.what, wrote)
		}
		if !first.PublicKey.(*ecdsa.PublicKey).Equal(cert.PublicKey) {
			t.Errorf("%s: the key was changed", step.what)
		}
	}
	for name, spoil := range map[string]func() error{
		"garbage certificate": func() error { return os.WriteFile(filepath.Join(dir, "leaf.crt"), []byte("x"), 0o644) },
		"lost key":            func() error { return os.Remove(filepath.Join(dir, "leaf.key")) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if _, wrote := ensure(t, dir, ca, other, now.Add(1000*24*time.Hour)); !wrote {
			t.Errorf("%s was kept", name)
		}
	}
	if _, wrote := ensure(t, dir, testCA(t, dir, "new"), other, now.Add(1000*24*time.Hour)); !wrote {
		t.Error("a leaf of another authority was kept")
	}
}

func TestKeyThatOthersCouldReadIsNarrowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if _, made, err := EnsureKey(path); err != nil || !made {
		t.Fatal(made, err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, made, err := EnsureKey(path); err != nil || made {
		t.Fatal(made, err)
	}
	if st, _ := os.Stat(path); st.Mode().Perm() != 0o600 {
		t.Fatal(st.Mode())
	}
	if err := os.WriteFile(path, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := EnsureKey(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Fatal("a damaged key was replaced", err)
	}
}

func TestOnlyP256RequestsWithProofArePassed(t *testing.T) {
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	good, err := NewRequest(key, "anything")
	if err != nil {
		t.Fatal(err)
	}
	if public, err := CheckRequest(good); err != nil || !public.Equal(&key.PublicKey) {
		t.Fatal(err)
	}
	spoilt := slices.Clone(good)
	spoilt[len(spoilt)-1] ^= 1
	if _, err := CheckRequest(spoilt); err == nil {
		t.Error("a spoilt signature passed")
	}
	big, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := NewRequest(big, "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := CheckRequest(der); err == nil || !strings.Contains(err.Error(), "P-256") {
		t.Error(err)
	}
}

func FuzzCheckRequest(f *testing.F) {
	key, _ := NewKey()
	der, _ := NewRequest(key, "x")
	f.Add(der)
	f.Fuzz(func(t *testing.T, der []byte) {
		if key, err := CheckRequest(der); (key == nil) == (err == nil) {
			t.Fatal(key, err)
		}
	})
}

func TestVerifyNodeAcceptsOnlyNodes(t *testing.T) {
	dir := t.TempDir()
	ca, stranger := testCA(t, dir, "ca"), testCA(t, dir, "stranger")
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	roots := Pool(ca.Cert)
	try := func(ca *CA, names Names, at time.Time) (string, error) {
		cert, err := ca.Sign(&key.PublicKey, names, now)
		if err != nil {
			t.Fatal(err)
		}
		return VerifyNode([]*x509.Certificate{cert}, roots, at)
	}
	if name, err := try(ca, NodeClient("edge-1", wire.Pin{1}), now); err != nil || name != "edge-1" {
		t.Fatal(name, err)
	}
	cert, err := ca.Sign(&key.PublicKey, NodeClient("edge-1", wire.Pin{7}), now)
	if err != nil {
		t.Fatal(err)
	}
	if device, ok := DeviceOf(cert); !ok || device != (wire.Pin{7}) {
		t.Errorf("device %v, %v", device, ok)
	}
	if _, ok := DeviceOf(ca.Cert); ok {
		t.Error("an authority has a device")
	}
	admin := Names{CommonName: "system:node:edge-1", Organizations: []string{"system:nodes", "system:masters"}, Client: true}
	for what, call := range map[string]func() (string, error){
		"nobody":      func() (string, error) { return VerifyNode(nil, roots, now) },
		"proxy":       func() (string, error) { return try(ca, ProxyClient(wire.Pin{1}), now) },
		"agent":       func() (string, error) { return try(ca, AgentClient("edge-1", wire.Pin{1}), now) },
		"more groups": func() (string, error) { return try(ca, admin, now) },
		"serving":     func() (string, error) { return try(ca, NodeServing("edge-1", nil), now) },
		"stranger":    func() (string, error) { return try(stranger, NodeClient("edge-1", wire.Pin{1}), now) },
		"expired":     func() (string, error) { return try(ca, NodeClient("edge-1", wire.Pin{1}), now.Add(2*LeafLifetime)) },
		"impossible":  func() (string, error) { return try(ca, NodeClient("a/../b", wire.Pin{1}), now) },
	} {
		if name, err := call(); err == nil {
			t.Errorf("%s passed as %q", what, name)
		}
	}
}

func FuzzParseCerts(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if certs, err := ParseCerts(text); (len(certs) == 0) == (err == nil) {
			t.Fatal(certs, err)
		}
		if key, err := ParseKey(text); (key == nil) == (err == nil) {
			t.Fatal(key, err)
		}
	})
}
