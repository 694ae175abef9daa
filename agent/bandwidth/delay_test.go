package bandwidth

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestDelayCountsFromTheOldestChangeThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d delays
		d.seen()
		after(10 * time.Millisecond)
		d.seen()
		since := d.begin()
		after(5 * time.Millisecond)
		d.end(since, false) // it stays waiting
		d.seen()
		since = d.begin()
		after(5 * time.Millisecond)
		d.end(since, true)
		want := Delays{Count: 1, Sum: 20 * time.Millisecond, Last: 20 * time.Millisecond, P50: 20 * time.Millisecond, P99: 20 * time.Millisecond, Max: 20 * time.Millisecond}
		if got := d.figures(); got != want {
			t.Errorf("delays are %+v, want %+v", got, want)
		}
	})
}

func TestAChangeDuringAPassIsOfTheNextOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d delays
		d.seen()
		since := d.begin()
		after(time.Millisecond)
		d.seen()
		d.end(since, true)
		after(time.Millisecond)
		d.end(d.begin(), true)
		if got := d.figures(); got.Count != 2 || got.Last != time.Millisecond {
			t.Errorf("delays are %+v, want two of 1 ms", got)
		}
	})
}

func TestAPassWithoutChangesIsNoDelay(t *testing.T) {
	var d delays
	d.end(d.begin(), true)
	if got := d.figures(); got != (Delays{}) {
		t.Errorf("delays are %+v, want none", got)
	}
}

func TestDelaysForgetOldOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d delays
		for i := range keptDelays + 1 {
			d.seen()
			if i == 0 {
				after(time.Minute)
			}
			d.end(d.begin(), true)
		}
		if got := d.figures(); got.Max != 0 || got.Count != keptDelays+1 {
			t.Errorf("delays are %+v, want the first one forgotten", got)
		}
	})
}
