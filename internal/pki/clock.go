package pki

import (
	"crypto/x509"
	"fmt"
	"time"
)

// Epoch is the earliest time that a clock may show: kedge did not exist
// before. Callers that know a later bound (the build's date, a certificate's
// NotBefore) hand that to [CheckClock] as well.
var Epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// ClockError tells that the machine's clock cannot be right.
type ClockError struct {
	// Now is what the clock shows.
	Now time.Time
	// Floor is what it must have passed.
	Floor time.Time
	// Reason says how Floor is known.
	Reason string
}

// Error implements error.
func (e *ClockError) Error() string {
	return fmt.Sprintf("this machine's clock shows %s, but %s %s: set the clock (timedatectl set-ntp true, or date -s) and start again",
		e.Now.UTC().Format(time.RFC3339), e.Reason, e.Floor.UTC().Format(time.RFC3339))
}

// CheckClock returns a [*ClockError] when now is before [Epoch] or before
// built, the date of this program; a zero built is ignored. Boards without a
// battery start in 1970, and a certificate from then would be useless.
func CheckClock(now, built time.Time) error {
	if !built.After(Epoch) {
		built = Epoch
	}
	if now.Before(built) {
		return &ClockError{Now: now, Floor: built, Reason: "this kedge was built after"}
	}
	return nil
}

// CheckClockAgainst returns a [*ClockError] when now is before cert became
// valid: the clock was right when cert was issued and has gone back since.
func CheckClockAgainst(now time.Time, cert *x509.Certificate) error {
	if now.Before(cert.NotBefore) {
		return &ClockError{Now: now, Floor: cert.NotBefore, Reason: fmt.Sprintf("certificate %q was issued at", cert.Subject.CommonName)}
	}
	return nil
}
