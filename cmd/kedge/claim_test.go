package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/fsx"
	"github.com/kedge-io/kedge/internal/paths"
)

// claimIn takes a data directory below dir whose run directory is there, too.
func claimIn(t *testing.T, dir string) *daemon {
	t.Helper()
	layout := paths.New(filepath.Join(dir, "data"))
	layout.RunDir = filepath.Join(dir, "run")
	d := &daemon{id: identity{layout: layout}}
	if err := d.acquire(false); err != nil {
		t.Fatal(err)
	}
	return d
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func TestAStartThatCameToNothingLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	d := claimIn(t, dir)
	if err := noteFootprint(d.id.layout, "/kedge", ""); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(d.id.layout.DataDir, "agent", "tls"), 0o700); err != nil {
		t.Fatal(err)
	}
	d.abandon()
	if found := names(t, dir); found != "" {
		t.Errorf("left: %s", found)
	}
}

func TestAbandonKeepsWhatWasThereAndWhatHasContent(t *testing.T) {
	dir := t.TempDir()
	images := filepath.Join(dir, "data", "agent", "images")
	if err := os.MkdirAll(images, 0o755); err != nil {
		t.Fatal(err)
	}
	claimIn(t, dir).abandon()
	if _, err := os.Stat(images); err != nil {
		t.Errorf("an empty folder of the user's: %v", err)
	}

	dir = t.TempDir()
	d := claimIn(t, dir)
	key := filepath.Join(d.id.layout.DataDir, "server", "tls", "key")
	if err := fsx.WriteFile(key, []byte("key"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.abandon()
	if _, err := os.Stat(key); err != nil {
		t.Error(err)
	}
	if _, err := fsx.Lock(d.id.layout.ProcessLock()); err != nil {
		t.Errorf("the lock is still held: %v", err)
	}
}

func TestAbandonLeavesADaemonThatHasRunAlone(t *testing.T) {
	dir := t.TempDir()
	d := claimIn(t, dir)
	d.ran = true
	d.abandon()
	if found := names(t, filepath.Join(dir, "data")); found == "" {
		t.Error("the lock is gone")
	}
}

func TestSecondDaemonIsToldWhoHasTheDataDirectory(t *testing.T) {
	d := claimIn(t, t.TempDir())
	err := (&daemon{id: d.id}).acquire(false)
	if err == nil || !strings.Contains(err.Error(), d.id.layout.DataDir) || !strings.Contains(err.Error(), "already runs") {
		t.Errorf("got %v", err)
	}
}

func TestStartBearsWithALockThatIsGivenBackSoon(t *testing.T) {
	dir := t.TempDir()
	d := claimIn(t, dir)
	late := time.AfterFunc(lockPatience/20, func() { _ = d.claim.lock.Close() })
	defer late.Stop()
	if err := (&daemon{id: d.id}).acquire(false); err != nil {
		t.Error(err)
	}
}

func TestCompletePathAddsTheFoldersThatAreMissing(t *testing.T) {
	for path, want := range map[string]string{
		"/opt/bin:/usr/bin:/bin": "/opt/bin:/usr/bin:/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin",
		"":                       "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	} {
		if got := completePath(path); got != want {
			t.Errorf("completePath(%q) = %q, want %q", path, got, want)
		}
	}
}
