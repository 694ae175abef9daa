package bed

import (
	"fmt"
	"math"
	"testing"
)

// Rate is one that was measured and the bounds that it should be in, in bits per second.
type Rate struct {
	What           string
	Got, Low, High float64
	// Shared tells that what is too much for one was taken from another, as when both borrow.
	Shared bool
}

// Around is a rate that should be within percent of want.
func Around(what string, got, want, percent float64) Rate {
	return Rate{What: what, Got: got, Low: want * (1 - percent/100), High: want * (1 + percent/100)}
}

// AtLeast is a rate without an upper bound, AtMost one without a lower.
func AtLeast(what string, got, low float64) Rate {
	return Rate{What: what, Got: got, Low: low, High: math.Inf(1)}
}

// AtMost is a rate without a lower bound.
func AtMost(what string, got, high float64) Rate { return Rate{What: what, Got: got, High: high} }

// tries is how often is measured what comes out too low: on a busy machine those who send do not
// always get their turn. What comes out too high no machine explains.
const tries = 5

// Rates fails the test unless all rates that measure returns are in their bounds.
func Rates(t testing.TB, measure func() []Rate) {
	t.Helper()
	Attempts(t, func() []string { return Outside(t, measure()) })
}

// Attempts runs attempt until it has nothing to complain of, or until it failed the test. The
// complaints of the last one fail the test.
func Attempts(t testing.TB, attempt func() []string) {
	t.Helper()
	for n := 1; ; n++ {
		complaints := attempt()
		if len(complaints) == 0 || t.Failed() {
			return
		}
		for _, c := range complaints {
			if n == tries {
				t.Errorf("%s (try %d)", c, n)
			} else {
				t.Logf("%s (try %d)", c, n)
			}
		}
		if n == tries {
			return
		}
	}
}

// Outside are the rates that a busy machine may have put out of their bounds. One that no
// machine explains fails the test.
func Outside(t testing.TB, rates []Rate) (complaints []string) {
	t.Helper()
	for _, r := range rates {
		t.Logf("%s: %.2f Mbit/s, expected %.2f to %.2f", r.What, r.Got/1e6, r.Low/1e6, r.High/1e6)
		text := fmt.Sprintf("%s: %.2f Mbit/s, want %.2f to %.2f", r.What, r.Got/1e6, r.Low/1e6, r.High/1e6)
		switch {
		case r.Got < r.Low, r.Shared && r.Got > r.High:
			complaints = append(complaints, text)
		case r.Got > r.High:
			t.Errorf("%s", text)
		}
	}
	return complaints
}
