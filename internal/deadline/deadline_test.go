package deadline

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestDeadlineWakesOnceAndOnlyWhileItStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var d Deadline
		woken := 0
		set := func(at time.Time) {
			mu.Lock()
			defer mu.Unlock()
			d.Set(at, &mu, func() { woken++ })
		}
		look := func() (int, bool) {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return woken, d.Expired()
		}
		check := func(when string, times int, expired bool) {
			t.Helper()
			if n, e := look(); n != times || e != expired {
				t.Errorf("%s: woken %d times, expired %v; want %d, %v", when, n, e, times, expired)
			}
		}
		set(time.Now().Add(time.Second))
		check("before it", 1, false)
		<-time.After(time.Second)
		check("after it", 2, true)
		set(time.Now().Add(time.Second))
		set(time.Time{}) // none: the former one must not fire
		<-time.After(time.Minute)
		check("without one", 4, false)
		set(time.Now().Add(-time.Second))
		check("in the past", 5, true)
		set(time.Now().Add(time.Second))
		mu.Lock()
		d.Stop()
		mu.Unlock()
		<-time.After(time.Minute)
		check("stopped", 6, false)
	})
}
