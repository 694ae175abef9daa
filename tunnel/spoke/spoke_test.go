package spoke

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/tunnel"
	"github.com/kedge-io/kedge/tunnel/access"
)

func TestBackoffIsImmediateThenSpreadBelowABound(t *testing.T) {
	full := func(d time.Duration) time.Duration { return d }
	for attempt, want := range map[int]time.Duration{
		0: 0, 1: 500 * time.Millisecond, 2: time.Second, 3: 2 * time.Second, 5: 8 * time.Second, 6: backoffMax, 1000: backoffMax,
	} {
		if got := backoff(attempt, full); got < want || got > want+time.Millisecond {
			t.Errorf("attempt %d waits up to %v, want %v", attempt, got, want)
		}
	}
	none := func(time.Duration) time.Duration { return 0 }
	if got := backoff(9, none); got != time.Millisecond {
		t.Errorf("the least wait is %v", got)
	}
}

func TestNewNamesEverythingThatIsMissing(t *testing.T) {
	_, err := New(Config{Server: "http://server:6443"}, slog.New(slog.DiscardHandler))
	for _, want := range []string{"access rules", "certificate", `"http://server:6443"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
}

func TestTroubleIsLoggedOncePerKind(t *testing.T) {
	var out strings.Builder
	s, err := New(Config{
		Server: "https://server:6443", CAFile: "ca", CertFile: "crt", KeyFile: "key",
		Rules: func() access.Rules { return access.Rules{} },
	}, slog.New(slog.NewTextHandler(&out, nil)))
	if err != nil {
		t.Fatal(err)
	}
	refused := &tunnel.RefusedError{What: "tunnel", Kind: tunnel.RefusedIdentity, Reason: "not a node's"}
	for _, e := range []error{errors.New("dial: a"), errors.New("dial: b"), refused, refused, errors.New("dial: c")} {
		s.trouble(e, false)
	}
	s.up()
	s.trouble(errors.New("silence"), true)
	s.trouble(errors.New("dial: d"), false)
	if got := strings.Count(out.String(), "\n"); got != 5 {
		t.Errorf("%d lines:\n%s", got, out.String())
	}
}
