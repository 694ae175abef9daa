package datastore

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/kedge-io/kedge/internal/fsx"
)

// testConfig keeps sockets in a short path: they are limited to 107 bytes.
func testConfig(t testing.TB) Config {
	t.Helper()
	run, err := os.MkdirTemp("", "ds")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(run) })
	return Config{
		Path: filepath.Join(t.TempDir(), "db", "state.db"), SocketDir: run,
		VolatileDir: filepath.Join(run, "db"), Log: slog.New(slog.DiscardHandler),
	}
}

type running struct {
	*Store
	cancel context.CancelFunc
	done   chan error
}

// start prepares and runs a store until stop or the end of the test.
func start(t testing.TB, cfg Config) *running {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.every = 20 * time.Millisecond
	comp := s.Component()
	if err := comp.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Store: s, cancel: cancel, done: make(chan error, 1)}
	ready := make(chan struct{})
	go func() { r.done <- comp.Run(ctx, func() { close(ready) }) }()
	t.Cleanup(cancel)
	select {
	case <-ready:
	case err := <-r.done:
		t.Fatalf("run: %v", err)
	case <-time.After(60 * time.Second):
		t.Fatal("not ready after a minute")
	}
	return r
}

func (r *running) stop(t testing.TB) {
	t.Helper()
	r.cancel()
	select {
	case err := <-r.done:
		if err != nil {
			t.Fatalf("run returned %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("did not stop")
	}
}

func client(t testing.TB, endpoint string) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: 10 * time.Second, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func put(t testing.TB, c *clientv3.Client, key, value string) int64 {
	t.Helper()
	resp, err := c.Put(t.Context(), key, value)
	if err != nil {
		t.Fatal(err)
	}
	return resp.Header.Revision
}

func get(t testing.TB, c *clientv3.Client, key string) string {
	t.Helper()
	resp, err := c.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.Kvs) == 0 {
		return ""
	}
	return string(resp.Kvs[0].Value)
}

// eventually probes until ok or a generous deadline.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	probe := time.NewTicker(10 * time.Millisecond)
	defer probe.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("never happened: %s", what)
		case <-probe.C:
		}
	}
}

func TestWritesSurviveARestart(t *testing.T) {
	cfg := testConfig(t)
	first := start(t, cfg)
	put(t, client(t, first.Endpoints()[0]), "/registry/a", "1")
	put(t, client(t, "unix://"+first.volatileSocket()), "/registry/leases/b", "2")
	if !exists(cfg.Path + ".in-use") {
		t.Error("an open database is not marked as in use")
	}
	first.stop(t)
	if exists(cfg.Path+".in-use") || exists(cfg.Path+"-wal") {
		t.Error("a clean stop left a mark or a log")
	}
	second := start(t, cfg)
	if got := get(t, client(t, second.Endpoints()[0]), "/registry/a"); got != "1" {
		t.Errorf("durable key is %q", got)
	}
	if got := get(t, client(t, "unix://"+second.volatileSocket()), "/registry/leases/b"); got != "2" {
		t.Errorf("volatile key is %q", got)
	}
	second.stop(t)
}

func TestSocketsAndFilesArePrivate(t *testing.T) {
	cfg := testConfig(t)
	r := start(t, cfg)
	defer r.stop(t)
	for path, want := range map[string]os.FileMode{
		cfg.SocketDir: 0o700, filepath.Join(cfg.SocketDir, "kine.sock"): 0o600,
		filepath.Dir(cfg.Path): 0o700, cfg.Path: 0o600, r.volatileSocket(): 0o600,
	} {
		st, err := os.Stat(path)
		if err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: mode %v, want %v (%v)", path, st.Mode().Perm(), want, err)
		}
	}
}

func TestOverridesNameTheVolatileSocket(t *testing.T) {
	cfg := testConfig(t)
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	got := s.Overrides()
	want := "coordination.k8s.io/leases#unix://" + cfg.SocketDir + "/kine-volatile.sock"
	if len(got) != 3 || got[1] != want {
		t.Errorf("overrides %v, want one to be %s", got, want)
	}
	cfg.VolatileDir = ""
	if s, _ := New(cfg); len(s.Overrides()) != 0 {
		t.Error("overrides without a volatile database")
	}
}

func TestLostVolatileDatabaseNeverRepeatsRevisions(t *testing.T) {
	cfg := testConfig(t)
	first := start(t, cfg)
	c := client(t, "unix://"+first.volatileSocket())
	var last int64
	for i := range 5 {
		last = put(t, c, "/registry/leases/n", fmt.Sprint(i))
	}
	first.stop(t)
	if err := os.RemoveAll(cfg.VolatileDir); err != nil {
		t.Fatal(err)
	}
	second := start(t, cfg)
	defer second.stop(t)
	c = client(t, "unix://"+second.volatileSocket())
	if got := get(t, c, "/registry/leases/n"); got != "" {
		t.Errorf("a lost database still has %q", got)
	}
	if rev := put(t, c, "/registry/leases/n", "new"); rev <= last {
		t.Errorf("revision %d after %d was used before", rev, last)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for resp := range c.Watch(ctx, "/registry/leases/", clientv3.WithPrefix(), clientv3.WithRev(last)) {
		if resp.CompactRevision > last {
			return
		}
		t.Fatalf("an old watcher was answered %+v instead of being told to list again", resp)
	}
	t.Fatal("an old watcher was not answered")
}

func TestSecondServerIsRefusedWithThePid(t *testing.T) {
	cfg := testConfig(t)
	cfg.LockPath = filepath.Join(t.TempDir(), "lock")
	first := start(t, cfg)
	defer first.stop(t)
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Component().Prepare(t.Context())
	if !errors.Is(err, fsx.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("pid %d", os.Getpid())) {
		t.Errorf("second server: %v", err)
	}
}

func TestDamagedDatabaseIsNamedAndLeftAlone(t *testing.T) {
	damage := map[string]func(t *testing.T, path string){
		"header": func(t *testing.T, path string) { overwrite(t, path, 0, 64) },
		"pages":  func(t *testing.T, path string) { overwrite(t, path, 3*durablePageSize, 4*durablePageSize) },
		"cut": func(t *testing.T, path string) {
			if err := os.Truncate(path, 5*durablePageSize+100); err != nil {
				t.Fatal(err)
			}
		},
		"empty": func(t *testing.T, path string) {
			if err := os.Truncate(path, 0); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, hurt := range damage {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(t)
			r := start(t, cfg)
			c := client(t, r.Endpoints()[0])
			for i := range 50 {
				put(t, c, fmt.Sprintf("/registry/%d", i), strings.Repeat("x", 2000))
			}
			r.stop(t)
			hurt(t, cfg.Path)
			before := digest(t, cfg.Path)
			s, _ := New(cfg)
			err := s.Component().Prepare(t.Context())
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), cfg.Path) || !strings.Contains(err.Error(), "kedge snapshot restore") {
				t.Fatalf("got %v", err)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %v", err)
			}
			if digest(t, cfg.Path) != before {
				t.Error("the check changed the file")
			}
		})
	}
}

func overwrite(t *testing.T, path string, at, n int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	junk := []byte(strings.Repeat("\xa5", int(n)))
	if _, err := f.WriteAt(junk, at); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func digest(t *testing.T, path string) [32]byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(raw)
}

func TestDamagedVolatileDatabaseIsMadeAnew(t *testing.T) {
	cfg := testConfig(t)
	first := start(t, cfg)
	last := put(t, client(t, "unix://"+first.volatileSocket()), "/registry/leases/n", "1")
	first.stop(t)
	overwrite(t, filepath.Join(cfg.VolatileDir, "volatile.db"), 0, 64)
	second := start(t, cfg)
	defer second.stop(t)
	if rev := put(t, client(t, "unix://"+second.volatileSocket()), "/registry/leases/n", "2"); rev <= last {
		t.Errorf("revision %d after %d", rev, last)
	}
}

func TestFolderThatIsAFileIsRefused(t *testing.T) {
	cfg := testConfig(t)
	if err := os.WriteFile(filepath.Dir(cfg.Path), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ := New(cfg)
	if err := s.Component().Prepare(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot be written") {
		t.Errorf("got %v", err)
	}
}

func TestStatShowsBothDatabases(t *testing.T) {
	r := start(t, testConfig(t))
	defer r.stop(t)
	stats, err := r.Stat(t.Context())
	if err != nil || len(stats) != 2 {
		t.Fatalf("%v, %v", stats, err)
	}
	for _, s := range stats {
		if s.Bytes == 0 || s.Revision == 0 || s.DiskFree == 0 {
			t.Errorf("%+v", s)
		}
	}
}
