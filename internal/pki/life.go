package pki

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"time"
)

// Beginning is when every certificate becomes valid: the earliest time that a
// clock can show. Much of what checks certificates takes the machine's clock and
// nothing else, and a board that wakes up in 1970 must be able to start. It
// gives nothing away: a signature of the authority is needed all the same.
var Beginning = time.Unix(0, 0).UTC()

// When a certificate was signed is said by the extension privateKeyUsagePeriod
// (X.509, 9.2.2.5), which nobody checks and openssl shows.
var usagePeriodID = asn1.ObjectIdentifier{2, 5, 29, 16}

type usagePeriod struct {
	NotBefore time.Time `asn1:"tag:0,generalized"`
}

const (
	// renewShare of its life a certificate is used before it is renewed: two
	// thirds. The last third is for renewals that fail.
	renewNumerator, renewDenominator = 2, 3

	// checksPerLife is how often a certificate is looked at in its life: a dozen
	// times between the moment when it is due and its end.
	checksPerLife = 36
	// minCheck bounds the work for certificates that live minutes, maxCheck what
	// a clock that was set can hide.
	minCheck, maxCheck = time.Second, 6 * time.Hour
)

// issuedExtension says when a certificate was signed.
func issuedExtension(now time.Time) (pkix.Extension, error) {
	der, err := asn1.Marshal(usagePeriod{NotBefore: now.UTC().Truncate(time.Second)})
	return pkix.Extension{Id: usagePeriodID, Value: der}, err
}

// IssuedAt returns when cert was signed, by the signer's clock. Certificates of
// the first version do not say it; for them it is the beginning of their life.
func IssuedAt(cert *x509.Certificate) time.Time {
	for _, extension := range cert.Extensions {
		var period usagePeriod
		if !extension.Id.Equal(usagePeriodID) {
			continue
		}
		if _, err := asn1.Unmarshal(extension.Value, &period); err == nil {
			return period.NotBefore
		}
	}
	return cert.NotBefore
}

// Life returns for how long cert was issued.
func Life(cert *x509.Certificate) time.Duration { return cert.NotAfter.Sub(IssuedAt(cert)) }

// RenewAt returns when cert should be renewed: when two thirds of its life are
// over.
func RenewAt(cert *x509.Certificate) time.Time {
	return IssuedAt(cert).Add(Life(cert) / renewDenominator * renewNumerator)
}

// CheckEvery returns how often to look at certificates that live so long,
// between a second and six hours.
func CheckEvery(life time.Duration) time.Duration {
	return min(max(life/checksPerLife, minCheck), maxCheck)
}
