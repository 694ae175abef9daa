package preflight

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"time"

	"github.com/kedge-io/kedge/internal/finding"
	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
)

// seen is what whoever answers has shown.
type seen struct {
	shown tls.ConnectionState
	// authorities are those of /cacerts.
	authorities []*x509.Certificate
	// date is what the server's clock showed at the time at of ours; zero where it
	// did not say.
	date, at time.Time
}

func (s *seen) read(body []byte) error {
	certs, err := pki.ParseCerts(body)
	if err != nil || len(certs) == 0 {
		return errNoCerts
	}
	s.authorities = certs
	return nil
}

func pinOf(c *x509.Certificate) wire.Pin { return pki.PinOf(c) }

// roots are the authorities that are known by their hash.
func (s *seen) roots(known map[wire.Pin]bool) []*x509.Certificate {
	var out []*x509.Certificate
	for _, c := range s.authorities {
		if c.IsCA && known[pinOf(c)] {
			out = append(out, c)
		}
	}
	return out
}

// signed tells why what was shown is not believed at a time with these roots.
func (s *seen) signed(roots []*x509.Certificate, at time.Time) error {
	return pki.ServerTLS(pki.Pool(roots...), func() time.Time { return at }).VerifyConnection(s.shown)
}

// ofCluster tells whether one of the roots has signed what was shown, whatever its
// names and dates are.
func (s *seen) ofCluster(roots []*x509.Certificate) bool {
	chain := s.shown.PeerCertificates
	if len(chain) == 0 {
		return false
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: pki.Pool(roots...), Intermediates: pki.Pool(chain[1:]...), CurrentTime: chain[0].NotAfter.Add(-time.Second),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	return err == nil
}

// clockMargin is by how much clocks may differ before it is worth a word.
const clockMargin = time.Minute

// judge compares what was seen with what is known.
func (v *visit) judge(ctx context.Context, s seen, took time.Duration) []finding.Finding {
	out := v.clocks(s)
	if len(v.known) == 0 {
		return append(out, finding.New(finding.Server, finding.Info, "%s answers; without a token it is not known whether it is the right one", v.target))
	}
	roots := s.roots(v.known)
	if len(roots) == 0 {
		return append(out, v.stranger(ctx, s)...)
	}
	now := v.now()
	err := s.signed(roots, now)
	var invalid x509.CertificateInvalidError
	switch {
	case !s.ofCluster(roots):
		return append(out, v.between(ctx, s)...)
	case err == nil:
		return append(out, finding.New(finding.Server, finding.OK, "%s is the server of the token and answers after %d ms", v.target, took.Milliseconds()))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return append(out, v.outOfDate(s, roots)...)
	}
	return append(out, finding.New(finding.ServerCert, finding.Error, "the certificate of %s: %v", v.target, err))
}

// clocks compares both clocks.
func (v *visit) clocks(s seen) []finding.Finding {
	if s.date.IsZero() {
		return nil
	}
	now := v.now()
	if off := now.Sub(s.date); off.Abs() > clockMargin {
		return one(finding.ServerClock, finding.Warning, "the clock of this host shows %s, the server's %s, %s apart",
			now.UTC().Format(time.RFC3339), s.date.UTC().Format(time.RFC3339), off.Abs().Round(time.Second))
	}
	return nil
}

// outOfDate tells a wrong clock here from a certificate that is really over or not
// yet begun. The server's word about the time is enough for a hint.
func (v *visit) outOfDate(s seen, roots []*x509.Certificate) []finding.Finding {
	leaf := s.shown.PeerCertificates[0]
	span := leaf.NotBefore.UTC().Format(time.RFC3339) + " to " + leaf.NotAfter.UTC().Format(time.RFC3339)
	at := s.date
	if at.IsZero() {
		at = v.now()
	}
	switch {
	case !s.date.IsZero() && s.signed(roots, s.date) == nil:
		return one(finding.ServerClock, finding.Warning, "by the clock of this host the server's certificate (%s) does not count, by the server's it does: this clock is wrong", span)
	case at.Before(leaf.NotBefore):
		return one(finding.ServerNotYet, finding.Error, "the certificate of %s counts from %s", v.target, span)
	}
	return one(finding.ServerExpired, finding.Error, "the certificate of %s counted from %s", v.target, span)
}

// stranger tells a server of another cluster, whose certificate its own authority
// has signed, from somebody in between.
func (v *visit) stranger(ctx context.Context, s seen) []finding.Finding {
	if !s.ofCluster(s.authorities) {
		return v.between(ctx, s)
	}
	var want string
	for p := range v.known {
		want = p.String()
	}
	return one(finding.ServerPin, finding.Error, "%s has an authority with the key hash %s, the token says %s", v.target, pinOf(s.authorities[0]), want)
}

// between tries the websocket through whoever ends TLS.
func (v *visit) between(ctx context.Context, s seen) []finding.Finding {
	who := "somebody"
	if certs := s.shown.PeerCertificates; len(certs) > 0 {
		who = certs[0].Subject.String()
	}
	conn, err := v.dialer.Pipe(ctx, "tcp", v.target)
	if err != nil {
		return one(finding.ServerBetween, finding.Error, "%s shows a certificate of %q and forwards no websocket to %s: %v", v.target, who, wire.PathPipe, err)
	}
	inside, err := v.look(ctx, conn)
	if err == nil {
		roots := inside.roots(v.known)
		if len(roots) == 0 {
			return one(finding.ServerPin, finding.Error, "behind %q at %s is a server whose authority is not the one of the token", who, v.target)
		}
		err = inside.signed(roots, v.now())
	}
	if err != nil {
		return one(finding.ServerBetween, finding.Error, "%s shows a certificate of %q, and behind it: %v", v.target, who, err)
	}
	return one(finding.ServerBetween, finding.Info, "%s shows a certificate of %q and forwards websockets: kedge goes through one", v.target, who)
}
