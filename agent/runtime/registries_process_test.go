//go:build process

package runtime

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kedge-io/kedge/agent/registries"
	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/depot"
)

// nowhere is a registry that nothing listens at.
const nowhere = "127.0.0.1:1"

// site is a node with a registry of its own next to it.
type site struct {
	*node
	depot *depot.Depot
	file  string // registries.yaml
	mu    sync.Mutex
	said  error
}

// freeAddress is one that was free a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func newSite(t *testing.T) *site {
	s := &site{node: newNode(t, SnapshotterOverlay)}
	s.file = filepath.Join(t.TempDir(), "registries.yaml")
	s.depot = s.runDepot("")
	s.settings()
	s.daemon()
	return s
}

// runDepot starts a registry that has site/app:1. realm is its token server.
func (s *site) runDepot(realm string) *depot.Depot {
	t := s.t
	t.Helper()
	dir := t.TempDir()
	program, err := depot.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d, err := depot.New(freeAddress(t), dir)
	if err != nil {
		t.Fatal(err)
	}
	client := d.Client(nil)
	if realm != "" {
		d.WithTokens(realm)
		if err := client.Authorize(d, "site/app"); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range d.Files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program, d.Args()...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.kill9(cmd) })
	testx.Eventually(t, 30*time.Second, "the registry answers", client.Ready)
	archive := filepath.Join(dir, "app.tar")
	s.archive(archive, "depot.test/app:1", "in the registry")
	data, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Push(t.Context(), data, "site/app", "1"); err != nil {
		t.Fatal(err)
	}
	return d
}

// settings runs the component that reads registries.yaml.
func (s *site) settings() {
	l := s.cfg.Layout
	r, err := registries.New(registries.Config{File: s.file, CertsDir: l.RegistryHosts(), LastGood: l.RegistriesLastGood()},
		slog.New(slog.NewTextHandler(os.Stderr, nil)), func(err error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.said = err
		})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- r.Component().Run(ctx, func() { close(ready) }) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
	<-ready
}

// pull is what kubelet does.
func (s *site) pull(ctx context.Context, image string, auth *cri.AuthConfig) error {
	c := cri.NewImageServiceClient(s.client().Conn().(grpc.ClientConnInterface))
	_, err := c.PullImage(ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: image}, Auth: auth})
	return err
}

// write makes settings in which the mirror of nowhere is the depot.
func (s *site) write(password, rewrite string) {
	s.t.Helper()
	text := fmt.Sprintf(`mirrors:
  %q:
    endpoint: [https://%s]
    rewrite: {%s}
configs:
  %q:
    auth: {username: %s, password: %q}
    tls: {ca_file: %s/tls.crt}
`, nowhere, s.depot.Address, rewrite, s.depot.Address, depot.User, password, s.depot.Dir)
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// until pulls until the outcome is as wanted: nil for success, or words of the
// error.
func (s *site) until(image string, auth *cri.AuthConfig, words ...string) {
	s.t.Helper()
	testx.Eventually(s.t, time.Minute, image+" "+strings.Join(words, " "), func(ctx context.Context) error {
		err := s.pull(ctx, image, auth)
		if len(words) == 0 || err == nil {
			return errors.Join(err, wanted(err == nil, words))
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				return fmt.Errorf("no %q in: %w", w, err)
			}
		}
		if strings.Contains(err.Error(), depot.Password) {
			s.t.Errorf("the password is told: %v", err)
		}
		return nil
	})
}

func wanted(pulled bool, words []string) error {
	if pulled && len(words) > 0 {
		return fmt.Errorf("it was pulled, expected %v", words)
	}
	return nil
}

func TestPullsFollowRegistriesYAMLWithoutRestart(t *testing.T) {
	s := newSite(t)
	pid := s.pid()
	image := nowhere + "/library/app:1"
	s.until(image, nil, "connection refused")
	s.write("wrong", `"^library/(.*)": site/$1`)
	s.until(image, nil, "mirror "+s.depot.Address, "registries.yaml", "user node")
	s.write(depot.Password, `"^library/(.*)": other/$1`)
	s.until(image, nil, "not found")
	s.write(depot.Password, `"^library/(.*)": site/$1`)
	s.until(image, nil)

	// The mirror itself, by its own name: by the settings, and by the password of a
	// pod where there are none.
	own := s.depot.Address + "/site/app:1"
	s.until(own, nil)
	text := fmt.Sprintf("configs:\n  %q:\n    tls: {ca_file: %s/tls.crt}\n", s.depot.Address, s.depot.Dir)
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.until(own, nil, "no basic auth credentials")
	s.until(own, &cri.AuthConfig{Username: depot.User, Password: depot.Password})

	s.tokens()
	if err := os.Remove(s.file); err != nil {
		t.Fatal(err)
	}
	within(t, time.Minute, "the settings are taken away", func() bool {
		left, err := os.ReadDir(s.cfg.Layout.RegistryHosts())
		return err == nil && len(left) == 0
	})
	if s.pid() != pid {
		t.Error("containerd was restarted")
	}
}

// tokens puts a registry with a token server in the place of the one with
// passwords.
func (s *site) tokens() {
	s.t.Helper()
	var d *depot.Depot
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { d.Tokens(w, r) }))
	s.t.Cleanup(server.Close)
	d = s.runDepot("https://" + server.Listener.Addr().String() + "/token")
	// Passwords stay in https, so the token server has it, too.
	pair, err := tls.LoadX509KeyPair(filepath.Join(d.Dir, "tls.crt"), filepath.Join(d.Dir, "tls.key"))
	if err != nil {
		s.t.Fatal(err)
	}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.StartTLS()
	passwords := s.depot
	s.depot = d
	s.write("wrong", `"^library/(.*)": site/$1`)
	s.until(nowhere+"/library/app:1", nil, "mirror "+d.Address+" does not accept", "registries.yaml")
	s.write(depot.Password, `"^library/(.*)": site/$1`)
	s.until(nowhere+"/library/app:1", nil)
	s.depot = passwords
}

func TestBundlesCarryImagesToNodesWithoutRegistry(t *testing.T) {
	s := newSite(t)
	s.write(depot.Password, `"^library/(.*)": site/$1`)
	image := nowhere + "/library/app:1"
	store := s.images()
	testx.Eventually(t, time.Minute, "the settings count", func(ctx context.Context) error {
		return store.Bundle(ctx, &bytes.Buffer{}, []string{image}, "", func(string) {})
	})
	var first, second bytes.Buffer
	for _, b := range []*bytes.Buffer{&first, &second} {
		if err := store.Bundle(t.Context(), b, []string{image, s.cfg.SandboxImage, image}, "", func(string) {}); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("the same images gave other bytes")
	}
	for _, i := range s.list() {
		if i.Name == image {
			t.Error("what was pulled for the bundle is an image of this node")
		}
	}
	var refused *platformError
	if err := store.Bundle(t.Context(), &bytes.Buffer{}, []string{image}, "linux/s390x", func(string) {}); !errors.As(err, &refused) {
		t.Errorf("an image for another platform: %v", err)
	}

	other := newNode(t, SnapshotterOverlay)
	other.daemon()
	there := (&site{node: other}).images()
	if _, err := there.Import(t.Context(), bytes.NewReader(first.Bytes()[:first.Len()/2]), "half.tar"); err == nil || !strings.Contains(err.Error(), "ends too early") {
		t.Errorf("half an archive: %v", err)
	}
	names, err := there.Import(t.Context(), bytes.NewReader(first.Bytes()), "/media/site.tar")
	if err != nil || len(names) != 2 {
		t.Fatalf("%v, %v", names, err)
	}
	for _, i := range (&site{node: other}).list() {
		if i.Name == image && (!i.Pinned || i.From != "/media/site.tar" || i.Bytes == 0) {
			t.Errorf("listed as %+v", i)
		}
	}
	other.pod("imported", image)
}

func (s *site) images() *ImageStore {
	s.t.Helper()
	store, err := OpenImages(s.t.Context(), paths.New(s.cfg.Layout.DataDir))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = store.Close() })
	return store
}

func (s *site) list() []ImageInfo {
	s.t.Helper()
	all, err := s.images().List(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}
