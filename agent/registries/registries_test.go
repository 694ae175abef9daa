package registries

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a component under test with its files.
type node struct {
	t    *testing.T
	cfg  Config
	mu   sync.Mutex
	last error
	said int
	log  strings.Builder
}

func newNode(t *testing.T) *node {
	dir := t.TempDir()
	return &node{t: t, cfg: Config{File: dir + "/registries.yaml", CertsDir: dir + "/certs.d", LastGood: dir + "/last-good.yaml"}}
}

// Write takes the log.
func (n *node) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.log.Write(p)
}

// start runs the component until stop.
func (n *node) start() (stop func()) {
	n.t.Helper()
	r, err := New(n.cfg, slog.New(slog.NewTextHandler(n, nil)), func(err error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.last = err
		n.said++
	})
	if err != nil {
		n.t.Fatal(err)
	}
	r.every = 10 * time.Millisecond
	ctx, cancel := context.WithCancel(n.t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- r.run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-done:
		n.t.Fatal(err)
	}
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			n.t.Error(err)
		}
	})
}

func (n *node) trouble() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.last == nil {
		return ""
	}
	return n.last.Error()
}

func (n *node) reports() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.said
}

func (n *node) hosts(registry string) string {
	data, _ := os.ReadFile(filepath.Join(n.cfg.CertsDir, registry, hostsFile))
	return string(data)
}

func (n *node) write(text string) {
	n.t.Helper()
	put(n.t, n.cfg.File, text)
}

// until waits for a condition.
func (n *node) until(what string, is func() bool) {
	n.t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-deadline:
			n.t.Fatalf("never: %s; trouble %q", what, n.trouble())
		case <-tick.C:
		}
	}
}

const (
	mirrorA = "mirrors:\n  docker.io:\n    endpoint: [https://a.site]\n"
	mirrorB = "mirrors:\n  docker.io:\n    endpoint: [https://b.site]\n"
)

func TestSettingsFollowTheFile(t *testing.T) {
	n := newNode(t)
	defer n.start()()
	if exists(n.cfg.CertsDir) {
		t.Error("something is set without a file")
	}
	n.write(mirrorA)
	n.until("a new file counts", func() bool { return strings.Contains(n.hosts("docker.io"), "a.site") })
	put(t, n.cfg.File+".new", mirrorB)
	if err := os.Rename(n.cfg.File+".new", n.cfg.File); err != nil {
		t.Fatal(err)
	}
	n.until("a renamed file counts", func() bool { return strings.Contains(n.hosts("docker.io"), "b.site") })
	if err := os.Remove(n.cfg.File); err != nil {
		t.Fatal(err)
	}
	n.until("a removed file counts no more", func() bool { return n.hosts("docker.io") == "" && !exists(n.cfg.LastGood) })
}

func TestBadFileLeavesTheFormerInForce(t *testing.T) {
	n := newNode(t)
	n.write(mirrorA)
	stop := n.start()
	for _, text := range []string{"mirrors:\n  docker.io:\n    endpoint: [https://b.si", "", "rubbish\n", "\x00\x00", "mirors: {}\n"} {
		before := n.reports()
		n.write(text)
		n.until("told", func() bool { return n.trouble() != "" && n.reports() > before })
		if !strings.Contains(n.hosts("docker.io"), "a.site") {
			t.Errorf("%q changed something", text)
		}
	}
	for what, make := range map[string]func() error{
		"no file":      func() error { return syscall.Mkfifo(n.cfg.File, 0o600) },
		"is no file":   func() error { return os.Mkdir(n.cfg.File, 0o755) },
		"no such file": func() error { return os.Symlink("/nowhere", n.cfg.File) },
	} {
		if err := errors.Join(os.Remove(n.cfg.File), make()); err != nil {
			t.Fatal(err)
		}
		n.until("told "+what, func() bool { return strings.Contains(n.trouble(), what) })
		if !strings.Contains(n.hosts("docker.io"), "a.site") {
			t.Errorf("%s changed something", what)
		}
	}
	if err := os.Remove(n.cfg.File); err != nil {
		t.Fatal(err)
	}
	n.write("mirors: {}\n")
	n.until("told", func() bool { return strings.Contains(n.trouble(), "mirors") })
	stop()
	if c := strings.Count(n.log.String(), "level=WARN"); c > 0 {
		t.Errorf("%d warnings besides the report: %s", c, n.log.String())
	}
	// After a restart with the bad file the former settings are there as well.
	if err := os.RemoveAll(n.cfg.CertsDir); err != nil {
		t.Fatal(err)
	}
	defer n.start()()
	if n.trouble() == "" || !strings.Contains(n.hosts("docker.io"), "a.site") {
		t.Errorf("after a restart: %q, %q", n.trouble(), n.hosts("docker.io"))
	}
	n.write(mirrorB)
	n.until("mended", func() bool { return n.trouble() == "" && strings.Contains(n.hosts("docker.io"), "b.site") })
}

func TestFileBehindLinksIsFollowed(t *testing.T) {
	n := newNode(t)
	dir := t.TempDir()
	put(t, dir+"/one/registries.yaml", mirrorA)
	put(t, dir+"/two/registries.yaml", mirrorB)
	link := func(to string) {
		if err := os.Symlink(to, dir+"/next"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(dir+"/next", dir+"/now"); err != nil {
			t.Fatal(err)
		}
	}
	link("one")
	if err := os.Symlink(dir+"/now/registries.yaml", n.cfg.File); err != nil {
		t.Fatal(err)
	}
	defer n.start()()
	if !strings.Contains(n.hosts("docker.io"), "a.site") {
		t.Error("a link is not followed")
	}
	link("two")
	n.until("another folder behind the link counts", func() bool { return strings.Contains(n.hosts("docker.io"), "b.site") })
}

func TestMissingCertificateIsToldAndComesLater(t *testing.T) {
	n := newNode(t)
	ca := t.TempDir() + "/ca.pem"
	n.write("configs:\n  a.site:\n    tls: {ca_file: " + ca + "}\n")
	defer n.start()()
	if !strings.Contains(n.trouble(), ca) {
		t.Errorf("trouble %q", n.trouble())
	}
	pem, _ := newAuthority(t)
	put(t, ca, pem)
	n.until("the certificate is noticed", func() bool { return n.trouble() == "" && strings.Contains(n.hosts("a.site"), ca) })
}

func TestFolderOfSomebodyElseIsTold(t *testing.T) {
	n := newNode(t)
	put(t, n.cfg.CertsDir+"/docker.io/hosts.toml", "server = \"https://x\"\n")
	n.write(mirrorA)
	defer n.start()()
	if !strings.Contains(n.trouble(), n.cfg.CertsDir+"/docker.io counts") {
		t.Errorf("trouble %q", n.trouble())
	}
	if err := os.RemoveAll(n.cfg.CertsDir + "/docker.io"); err != nil {
		t.Fatal(err)
	}
	n.until("the folder is gone, as was asked for", func() bool { return n.trouble() == "" && strings.Contains(n.hosts("docker.io"), "a.site") })
}

func TestDiskThatTakesNothingIsTriedAgain(t *testing.T) {
	for _, name := range []string{"at a start", "at a change"} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			obstacle := n.cfg.CertsDir + "/docker.io" // as good as a full disk, for root too
			if name == "at a start" {
				put(t, obstacle, "a file")
				put(t, n.cfg.LastGood, "mirrors:\n  other.site:\n    endpoint: [https://o.site]\n")
				n.write(mirrorA)
			}
			defer n.start()()
			if name == "at a change" {
				put(t, obstacle, "a file")
				n.write(mirrorA)
			}
			n.until("told", func() bool { return strings.Contains(n.trouble(), "tried again") })
			if err := os.Remove(obstacle); err != nil {
				t.Fatal(err)
			}
			n.until("there is room", func() bool { return n.trouble() == "" && strings.Contains(n.hosts("docker.io"), "a.site") })
		})
	}
}

func TestSecretsAreOnlyInFilesOfRoot(t *testing.T) {
	n := newNode(t)
	n.write("configs:\n  a.site:\n    auth: {username: u, password: hunter2}\n")
	stop := n.start()
	stop()
	if strings.Contains(n.log.String(), "hunter2") || strings.Contains(n.trouble(), "hunter2") {
		t.Errorf("told: %s %s", n.log.String(), n.trouble())
	}
	if !strings.Contains(n.log.String(), "chmod 600") {
		t.Error("nobody is told that others can read the file")
	}
	if st, err := os.Stat(n.cfg.LastGood); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", st, err)
	}
	if strings.Contains(n.hosts("a.site"), "hunter2") {
		t.Error("the password is in the hosts file")
	}
}
