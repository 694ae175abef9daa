package s3

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/server/datastore/snapshot"
)

// program is rclone's S3 server, built once from tests/s3.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "kedge-s3")
	if err == nil {
		program = filepath.Join(dir, "s3")
		cmd := exec.CommandContext(context.Background(), "go", "build", "-o", program, ".")
		cmd.Dir = "../../../../tests/s3"
		// As everything else is built, so that it is built once, whoever asks.
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false")
		var out []byte
		if out, err = cmd.CombinedOutput(); err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build the S3 server of tests/s3:", err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

const (
	testKey    = "kedge"
	testSecret = "not-a-secret"
)

// server is an S3 server on loopback with a bucket "backups" in folder.
type server struct{ address, folder string }

var addressPattern = regexp.MustCompile(`https?://(127\.0\.0\.1:\d+)`)

func serve(t *testing.T, args ...string) *server {
	t.Helper()
	s := &server{folder: t.TempDir()}
	if err := os.Mkdir(filepath.Join(s.folder, "backups"), 0o700); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	cmd := exec.CommandContext(t.Context(), program, append([]string{"serve", "s3", s.folder, "--addr", "127.0.0.1:0",
		"--auth-key", testKey + "," + testSecret, "--config", filepath.Join(home, "rclone.conf"), "--cache-dir", home, "-v"}, args...)...)
	cmd.Env = []string{"HOME=" + home, "PATH=/usr/bin:/bin"}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	found := make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if m := addressPattern.FindStringSubmatch(lines.Text()); m != nil {
				select {
				case found <- m[1]:
				default:
				}
			}
		}
	}()
	select {
	case s.address = <-found:
	case <-time.After(30 * time.Second):
		t.Fatal("the S3 server says no address")
	}
	return s
}

func (s *server) bucket(t *testing.T, change ...func(*Config)) *Bucket {
	t.Helper()
	c := Config{
		Endpoint: s.address, Bucket: "backups", Region: DefaultRegion, Folder: "edge/one", AccessKey: testKey, SecretKey: testSecret,
		Insecure: true, Lookup: LookupAuto, Timeout: time.Minute, Node: "server-1",
	}
	for _, f := range change {
		f(&c)
	}
	b, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var seconds atomic.Int64

// made is a snapshot of random content of size bytes.
func made(t *testing.T, size int) snapshot.Entry {
	t.Helper()
	dir := t.TempDir()
	content := make([]byte, size)
	if _, err := rand.Read(content); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "state.db"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := snapshot.New(snapshot.Config{
		Settings: snapshot.Settings{Dir: filepath.Join(dir, "snapshots"), Name: "scheduled", Retention: 1},
		Node:     "server-1", Server: dir, Database: filepath.Join(dir, "state.db"), Token: filepath.Join(dir, "recovery-token"),
		Pin: func() (wire.Pin, error) { return wire.Pin{7}, nil },
		Copy: func(_ context.Context, _, target string) (snapshot.Facts, error) {
			return snapshot.Facts{Revision: 5}, os.WriteFile(target, content, 0o600)
		},
		// Names are of seconds, and tests are faster.
		Now: func() time.Time { return time.Now().Add(time.Duration(seconds.Add(1)) * time.Second) },
		Log: slog.New(slog.DiscardHandler),
	})
	saved, err := m.Save(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return saved.Entry
}

func mustUpload(t *testing.T, b *Bucket, e snapshot.Entry) {
	t.Helper()
	if err := b.Upload(t.Context(), e.Location); err != nil {
		t.Fatal(err)
	}
}

// same compares what was downloaded with the local file.
func same(t *testing.T, b *Bucket, e snapshot.Entry) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "again")
	if err := b.Download(t.Context(), e.File, path); err != nil {
		t.Fatal(err)
	}
	want, err1 := os.ReadFile(e.Location)
	got, err2 := os.ReadFile(path)
	if err := errors.Join(err1, err2); err != nil || !bytes.Equal(want, got) {
		t.Errorf("downloaded %d of %d bytes, %v", len(got), len(want), err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("downloaded with mode %v, %v", st.Mode(), err)
	}
}
