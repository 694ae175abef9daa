package distfiles

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// asked is a request for a program from an address.
func asked(from string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/v1-kedge/dist/kedge-linux-amd64", nil)
	r.RemoteAddr = from
	return r
}

// hold takes as many places from an address as it gets, up to n.
func (s shop) hold(from string, n int) (got int) {
	for range n {
		if s.files.places.take(clientOf(asked(from))) {
			got++
		}
	}
	return got
}

func (s shop) status(from string) int {
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, asked(from))
	if w.Code == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
		return 0
	}
	return w.Code
}

func TestTooManyAtOnceAreToldToComeAgain(t *testing.T) {
	s := newShop(t)
	for i := range maxDownloads {
		if s.hold(fmt.Sprintf("198.51.100.%d:1", i), 1) != 1 {
			t.Fatalf("only %d at a time", i)
		}
	}
	if got := s.status("192.0.2.1:1"); got != http.StatusServiceUnavailable {
		t.Errorf("got %d", got)
	}
	s.files.places.giveBack(clientOf(asked("198.51.100.0:2")))
	for range 2 { // the place is given back
		if got := s.status("192.0.2.1:1"); got != http.StatusOK {
			t.Errorf("with a place: %d", got)
		}
	}
}

func TestNoClientHasAllDownloads(t *testing.T) {
	for first, c := range map[string]struct{ same, other string }{
		"192.0.2.1:1":          {"[::ffff:192.0.2.1]:2", "192.0.2.2:1"},
		"[2001:db8::1]:1":      {"[2001:db8::ffff:1:2]:2", "[2001:db8:0:1::1]:1"},
		"[fe80::1%eth0]:1":     {"[fe80::2%eth1]:1", "192.0.2.1:1"},
		"no address to be had": {"nor here", "192.0.2.1:1"},
	} {
		s := newShop(t)
		if got := s.hold(first, maxDownloads); got != maxPerClient {
			t.Errorf("%s has %d downloads", first, got)
		}
		if got := s.status(c.same); got != http.StatusServiceUnavailable {
			t.Errorf("%s after %s: %d", c.same, first, got)
		}
		if got := s.status(c.other); got != http.StatusOK {
			t.Errorf("%s beside %s: %d", c.other, first, got)
		}
		s.files.places.giveBack(clientOf(asked(first)))
		if got := s.status(c.same); got != http.StatusOK {
			t.Errorf("%s later: %d", c.same, got)
		}
	}
}

// clocked is a reader that takes bytes at a pace, as a writer with deadlines sees it.
type clocked struct {
	http.ResponseWriter
	now, ends time.Time
	pace      int // bytes per second
}

func (c *clocked) SetWriteDeadline(t time.Time) error { c.ends = t; return nil }

func (c *clocked) Write(b []byte) (int, error) {
	c.now = c.now.Add(time.Duration(len(b)) * time.Second / time.Duration(c.pace))
	if c.now.After(c.ends) {
		return 0, http.ErrHandlerTimeout
	}
	return len(b), nil
}

func TestReaderThatMakesItselfSlowIsEnded(t *testing.T) {
	for pace, ends := range map[int]bool{1 << 20: false, 7000: false, 3000: true, 300: true} {
		c := &clocked{now: time.Unix(0, 0), pace: pace}
		p := newPatient(c)
		p.now = func() time.Time { return c.now }
		var err error
		for range 4 * portion / (32 << 10) { // as a file is sent
			if _, err = p.Write(make([]byte, 32<<10)); err != nil {
				break
			}
		}
		if (err != nil) != ends {
			t.Errorf("at %d bytes per second: %v", pace, err)
		}
		if p.done(); err == nil && !c.ends.IsZero() {
			t.Errorf("the limit holds for what comes after: %s", c.ends)
		}
	}
}
