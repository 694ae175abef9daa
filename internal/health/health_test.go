package health

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/lifecycle"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func report(states ...lifecycle.State) Report {
	r := Report{Role: "server", Node: "n1", Version: "v1", PID: 7, Started: start}
	for i, s := range states {
		c := lifecycle.Status{Name: string(rune('a' + i)), State: s, Since: start.Add(time.Minute)}
		if s == lifecycle.StateFailed {
			c.LastError = "port\ntaken"
		}
		r.Components = append(r.Components, c)
	}
	return r
}

func source(states ...lifecycle.State) Source { return func() Report { return report(states...) } }

func TestPathsAnswerWhetherTheDaemonIsReadyAndHealthy(t *testing.T) {
	const ready, starting, failed = lifecycle.StateReady, lifecycle.StateStarting, lifecycle.StateFailed
	for name, tc := range map[string]struct {
		states          []lifecycle.State
		healthz, readyz int
		body            string
	}{
		"all ready": {[]lifecycle.State{ready, ready}, 200, 200, "ok\n"},
		"starting":  {[]lifecycle.State{ready, starting}, 200, 503, "not ready:\nb (starting)\n"},
		"failed":    {[]lifecycle.State{failed, ready}, 503, 503, "not ready:\na (failed)\n"},
		"empty":     {nil, 200, 503, "not ready:\ncomponents (not yet known)\n"},
	} {
		t.Run(name, func(t *testing.T) {
			h := Handler(source(tc.states...))
			get := func(path string) *httptest.ResponseRecorder {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
				return w
			}
			if w := get("/healthz"); w.Code != tc.healthz {
				t.Errorf("/healthz %d: %s", w.Code, w.Body)
			}
			if w := get("/readyz"); w.Code != tc.readyz || w.Body.String() != tc.body {
				t.Errorf("/readyz %d: %s", w.Code, w.Body)
			}
			if w := get("/nothing"); w.Code != http.StatusNotFound {
				t.Errorf("/nothing %d", w.Code)
			}
		})
	}
}

func TestReportCrossesTheSocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "run", "kedge.sock")
	s, err := Listen(socket, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, source(lifecycle.StateReady, lifecycle.StateFailed)) }()
	r, err := Fetch(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	if r.Ready || r.Healthy || r.Role != "server" || len(r.Components) != 2 || !r.Components[0].Since.Equal(start.Add(time.Minute)) {
		t.Errorf("got %+v", r)
	}
	resp, err := http.Get("http://" + s.TCPAddr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("TCP answered %s", resp.Status)
	}
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket %v, %v", info, err)
	}
	if _, err := Listen(socket, ""); err == nil || !strings.Contains(err.Error(), "another kedge answers there") {
		t.Errorf("second listener: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("serve: %v", err)
	}
	if _, err := Fetch(t.Context(), socket); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after the end: %v", err)
	}
}

func TestSocketOfAKilledDaemonIsReplaced(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "kedge.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, err := Fetch(t.Context(), socket); !errors.Is(err, ErrNotRunning) {
		t.Errorf("dead socket: %v", err)
	}
	s, err := Listen(socket, "")
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}

func TestOnlyLoopbackAddressesAreBound(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", "192.0.2.1:1", "localhost:1", "[::]:0", "x"} {
		s, err := Listen(filepath.Join(t.TempDir(), "s"), addr)
		if err == nil {
			s.Close()
			t.Errorf("%s accepted", addr)
		}
	}
}

func TestTableShowsComponentsAndConditions(t *testing.T) {
	r := report(lifecycle.StateReady, lifecycle.StateFailed).judged()
	r.Components[0].Degraded = true
	r.Conditions = []Condition{{"cgroup-version", ConditionAdapted, "cgroup v1: kubelet runs with failCgroupV1=false"}}
	var out bytes.Buffer
	if err := WriteTable(&out, r, start.Add(26*time.Hour)); err != nil {
		t.Fatal(err)
	}
	want := `kedge server n1 v1, pid 7, up 1d2h: failed

COMPONENT   STATE              SINCE   LAST ERROR
a           ready (degraded)   1d1h    -
b           failed             1d1h    port taken

CONDITION        STATUS    MESSAGE
cgroup-version   adapted   cgroup v1: kubelet runs with failCgroupV1=false
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{-time.Second: "0s", 59 * time.Second: "59s", 310 * time.Second: "5m10s",
		3*time.Hour + 12*time.Minute: "3h12m", 220 * time.Hour: "9d4h"} {
		if got := Age(d); got != want {
			t.Errorf("Age(%v) = %s, want %s", d, got, want)
		}
	}
}

// systemd listens where the service manager would, and returns its messages.
func systemd(t *testing.T) <-chan string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	messages := make(chan string, 1000)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			messages <- string(buf[:n])
		}
	}()
	return messages
}

func await(t *testing.T, messages <-chan string, part string) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case m := <-messages:
			if strings.Contains(m, part) {
				return
			}
		case <-deadline:
			t.Fatalf("systemd never heard %q", part)
		}
	}
}

func TestSystemdHearsReadyWatchdogAndStopping(t *testing.T) {
	messages := systemd(t)
	t.Setenv("WATCHDOG_USEC", "300000")
	var ready atomic.Bool
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		Notify(ctx, slog.New(slog.NewTextHandler(io.Discard, nil)), func() Report {
			if ready.Load() {
				return report(lifecycle.StateReady, lifecycle.StateReady)
			}
			return report(lifecycle.StateReady, lifecycle.StateStarting)
		})
	}()
	await(t, messages, "STATUS=waiting for b (starting)")
	await(t, messages, "WATCHDOG=1")
	ready.Store(true)
	await(t, messages, "READY=1\nSTATUS=2 components ready")
	await(t, messages, "WATCHDOG=1")
	cancel()
	await(t, messages, "STOPPING=1")
	<-done
}

func TestNotifyReturnsAtOnceWithoutSystemd(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	Notify(t.Context(), slog.New(slog.NewTextHandler(io.Discard, nil)), source())
}

func TestNotifierSaysReadyOnceAndStarvesTheWatchdogOfAFailedDaemon(t *testing.T) {
	n := &notifier{watchdog: true}
	ready, failed := report(lifecycle.StateReady), report(lifecycle.StateFailed)
	if got := n.message(ready); got != "READY=1\nSTATUS=1 components ready\nWATCHDOG=1" {
		t.Errorf("first: %q", got)
	}
	if got := n.message(ready); got != "WATCHDOG=1" {
		t.Errorf("second: %q", got)
	}
	if got := n.message(failed); got != "STATUS=failed: a: port taken" {
		t.Errorf("failed: %q", got)
	}
}

func TestPartsAnswerAtTheSocketOnly(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "kedge.sock")
	server, err := Listen(socket, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server.Handle("/part/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/part/no" {
			http.Error(w, "node \"x\" is not known", http.StatusNotFound)
			return
		}
		_, _ = io.WriteString(w, r.Method+" "+r.URL.RawQuery)
	}))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, source()) }()
	defer func() { cancel(); <-done }()

	var got []byte
	err = Ask(t.Context(), socket, http.MethodPost, "/part/yes?a=b", func(body io.Reader) (err error) {
		got, err = io.ReadAll(body)
		return err
	})
	if err != nil || string(got) != "POST a=b" {
		t.Errorf("got %q, %v", got, err)
	}
	var refused *RefusedError
	err = Ask(t.Context(), socket, http.MethodGet, "/part/no", func(io.Reader) error { return nil })
	if !errors.As(err, &refused) || refused.Code != http.StatusNotFound || refused.Error() != `node "x" is not known` {
		t.Errorf("refusal is %v", err)
	}
	resp, err := http.Get("http://" + server.TCPAddr().String() + "/part/yes")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("on TCP the part answers %s", resp.Status)
	}
}
