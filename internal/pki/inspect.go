package pki

import (
	"crypto/x509"
	"time"
)

// State is how a certificate is at one moment.
type State string

// The states, from good to bad.
const (
	// StateGood: not due, or due for less time than a renewal may take.
	StateGood State = "good"
	// StateSoon: it should have been renewed and has not, or it is an authority
	// that ends within half a year.
	StateSoon State = "ends soon"
	// StateEnded: nobody accepts it any more.
	StateEnded State = "has ended"
)

// authoritySoon is how long before its end an authority is in need of a person.
const authoritySoon = 180 * 24 * time.Hour

// StateOf judges cert. A leaf is renewed after two thirds of its life, so with
// less than a quarter left something has been in the way for a while.
func StateOf(cert *x509.Certificate, now time.Time) State {
	left, soon := cert.NotAfter.Sub(now), Life(cert)/4
	if cert.IsCA {
		soon = authoritySoon
	}
	switch {
	case left <= 0:
		return StateEnded
	case left < soon:
		return StateSoon
	}
	return StateGood
}
