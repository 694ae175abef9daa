package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/wire"
)

func TestScheduleFollowsTheLife(t *testing.T) {
	ca := testCA(t, t.TempDir(), "ca")
	for _, c := range []struct{ life, renew, look time.Duration }{
		{LeafLifetime, 5840 * time.Hour, 6 * time.Hour},
		{10 * time.Minute, 400 * time.Second, 10 * time.Minute / 36},
		{30 * time.Second, 20 * time.Second, time.Second},
	} {
		chain, err := Issuer{CA: ca, Lifetime: c.life}.Issue(ca.Cert.PublicKey, serving(), now)
		if err != nil {
			t.Fatal(err)
		}
		if got := RenewAt(chain[0]).Sub(now); got.Round(time.Second) != c.renew || CheckEvery(Life(chain[0])) != c.look {
			t.Errorf("%s: renewed after %s, looked at every %s", c.life, got, CheckEvery(c.life))
		}
	}
}

func TestShorterLifetimeIsTakenUp(t *testing.T) {
	dir := t.TempDir()
	ca := testCA(t, dir, "ca")
	ensure(t, dir, ca, serving(), now)
	issuer := Issuer{CA: ca, Lifetime: 10 * time.Minute}
	cert, wrote, err := issuer.Ensure(filepath.Join(dir, "leaf.crt"), filepath.Join(dir, "leaf.key"), serving(), now)
	if err != nil || !wrote || Life(cert) != 10*time.Minute {
		t.Fatal(wrote, err, Life(cert))
	}
}

func TestReplaceKeepsOrChangesTheKey(t *testing.T) {
	dir := t.TempDir()
	ca := testCA(t, dir, "ca")
	first, _ := ensure(t, dir, ca, serving(), now)
	for _, newKey := range []bool{false, true} {
		cert, err := Issuer{CA: ca}.Replace(filepath.Join(dir, "leaf.crt"), filepath.Join(dir, "leaf.key"), serving(), now, newKey)
		if err != nil || cert.Equal(first) || (PinOf(cert) == PinOf(first)) == newKey {
			t.Errorf("new key %v: %v", newKey, err)
		}
		if _, err := tls.LoadX509KeyPair(filepath.Join(dir, "leaf.crt"), filepath.Join(dir, "leaf.key")); err != nil {
			t.Error(err)
		}
	}
}

func TestEndedAuthoritySignsNothing(t *testing.T) {
	ca := testCA(t, t.TempDir(), "ca")
	if _, err := ca.Sign(ca.Cert.PublicKey, serving(), ca.Cert.NotAfter); err == nil {
		t.Fatal("signed")
	}
}

// successor returns an authority and the one that replaces it.
func successor(t *testing.T) (former *CA, next Issuer) {
	t.Helper()
	former = testCA(t, t.TempDir(), "ca")
	ca, err := NewCA("ca-2", now)
	if err != nil {
		t.Fatal(err)
	}
	cross, err := former.Cross(ca.Cert, now)
	if err != nil {
		t.Fatal(err)
	}
	return former, Issuer{CA: ca, Cross: []*x509.Certificate{cross}}
}

func TestWhoTrustsTheFormerAuthorityAcceptsItsSuccessor(t *testing.T) {
	former, next := successor(t)
	stranger := testCA(t, t.TempDir(), "stranger")
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	chain, err := next.Issue(&key.PublicKey, Names{CommonName: "server", DNS: []string{wire.ServerIdentity}, Server: true}, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		who   string
		roots *x509.CertPool
		want  bool
	}{
		{"the former", Pool(former.Cert), true}, {"the next", Pool(next.Cert), true},
		{"both", Pool(former.Cert, next.Cert), true}, {"a stranger", Pool(stranger.Cert), false},
	} {
		if err := handshake(t, chain, key, c.roots); (err == nil) != c.want {
			t.Errorf("who trusts %s: %v", c.who, err)
		}
	}
}

// handshake is one over a real connection.
func handshake(t *testing.T, chain []*x509.Certificate, key any, roots *x509.CertPool) error {
	t.Helper()
	pair := tls.Certificate{PrivateKey: key}
	for _, cert := range chain {
		pair.Certificate = append(pair.Certificate, cert.Raw)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if conn, err := l.Accept(); err == nil {
			_ = conn.(*tls.Conn).Handshake()
			_ = conn.Close()
		}
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	return tls.Client(raw, ServerTLS(roots, func() time.Time { return now })).Handshake()
}

func TestNodeOfTheNextAuthorityIsKnownByTheFormer(t *testing.T) {
	former, next := successor(t)
	chain, err := next.Issue(next.Cert.PublicKey, NodeClient("edge-1", wire.Pin{1}), now)
	if err != nil {
		t.Fatal(err)
	}
	if name, err := VerifyNode(chain, Pool(former.Cert), now); err != nil || name != "edge-1" {
		t.Fatal(name, err)
	}
	if _, err := VerifyNode(chain[:1], Pool(former.Cert), now); err == nil {
		t.Fatal("accepted without the cross certificate")
	}
}

func TestCrossCertificateMakesNoFurtherAuthority(t *testing.T) {
	former, next := successor(t)
	third, err := NewCA("ca-3", now)
	if err != nil {
		t.Fatal(err)
	}
	cross, err := next.CA.Cross(third.Cert, now)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := Issuer{CA: third, Cross: append([]*x509.Certificate{cross}, next.Cross...)}.Issue(next.Cert.PublicKey, NodeClient("edge-1", wire.Pin{1}), now)
	if err != nil {
		t.Fatal(err)
	}
	if name, err := VerifyNode(chain, Pool(former.Cert), now); err == nil {
		t.Fatal("accepted", name)
	}
}

func TestAuthorityOfTheFirstVersionSaysThatItCannotCross(t *testing.T) {
	former, next := successor(t)
	old := *former.Cert
	old.MaxPathLen, old.MaxPathLenZero = 0, true
	if _, err := (&CA{Cert: &old, key: former.key}).Cross(next.Cert, now); !errors.Is(err, ErrNoCross) {
		t.Fatal(err)
	}
}

func TestEveryCertificateIsGoodIn1970(t *testing.T) {
	ca := testCA(t, t.TempDir(), "ca")
	cert, err := ca.Sign(ca.Cert.PublicKey, serving(), now)
	if err != nil {
		t.Fatal(err)
	}
	_, err = cert.Verify(x509.VerifyOptions{Roots: Pool(ca.Cert), CurrentTime: time.Unix(1, 0), DNSName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
}
