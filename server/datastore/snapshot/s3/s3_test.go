package s3

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

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

func TestSnapshotsGoUpAreListedComeDownAndGo(t *testing.T) {
	t.Parallel()
	s := serve(t)
	b := s.bucket(t)
	if l, err := b.List(t.Context(), ""); err != nil || len(l) != 0 {
		t.Errorf("empty bucket: %v, %v", l, err)
	}
	small, large := made(t, 100<<10), made(t, 20<<20) // one request, three parts
	for _, e := range []snapshot.Entry{small, large} {
		mustUpload(t, b, e)
		same(t, b, e)
	}
	// Somebody else's files, and one that was cut.
	cut, err := os.ReadFile(small.Location)
	if err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string][]byte{"notes.txt": []byte("hello"), "cut.tar.zst": cut[:len(cut)-9], "deeper/x.tar.zst": cut} {
		if _, err := b.client.PutObject(t.Context(), "backups", b.key(name), bytes.NewReader(raw), int64(len(raw)), minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	l, err := s.bucket(t, func(c *Config) { c.Folder = "/edge/one/" }).List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]bool{}
	for _, e := range l {
		files[e.File] = e.Good()
		if e.Good() && (e.Manifest.Revision != 5 || !strings.HasPrefix(e.Location, "s3://backups/edge/one/on-demand-")) {
			t.Errorf("listed %+v", e)
		}
	}
	if want := map[string]bool{small.File: true, large.File: true, "cut.tar.zst": false}; len(files) != len(want) || !files[small.File] || !files[large.File] || files["cut.tar.zst"] {
		t.Errorf("listed %v, want %v", files, want)
	}
	if l, err := b.List(t.Context(), large.File[:len(large.File)-9]); err != nil || len(l) != 1 || l[0].File != large.File {
		t.Errorf("with a prefix: %v, %v", l, err)
	}
	for range 2 { // one that is gone is no error
		if err := b.Delete(t.Context(), large.File); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := b.Open(t.Context(), large.File); err == nil {
		t.Error("deleted and still there")
	}
}

// authority makes a certificate for 127.0.0.1 that is its own authority.
func authority(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "s3"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestTLSIsVerifiedUnlessAskedNotTo(t *testing.T) {
	t.Parallel()
	cert, key := authority(t)
	s := serve(t, "--cert", cert, "--key", key)
	e := made(t, 1<<20)
	secure := func(c *Config) { c.Insecure = false }
	if err := s.bucket(t, secure).Upload(t.Context(), e.Location); err == nil || !strings.Contains(err.Error(), "--snapshot-s3-endpoint-ca") {
		t.Errorf("unknown authority: %v", err)
	}
	known := s.bucket(t, secure, func(c *Config) { c.CAFile = cert })
	mustUpload(t, known, e)
	same(t, known, e)
	mustUpload(t, s.bucket(t, secure, func(c *Config) { c.SkipVerify = true }), e)
	plain := serve(t)
	if err := plain.bucket(t, secure).Upload(t.Context(), e.Location); err == nil || !strings.Contains(err.Error(), "speaks no TLS") {
		t.Errorf("no TLS there: %v", err)
	}
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	t.Parallel()
	s := serve(t)
	e := made(t, 10<<20)
	for want, b := range map[string]*Bucket{
		`bucket "other" does not exist`: s.bucket(t, func(c *Config) { c.Bucket = "other" }),
		"access key":                    s.bucket(t, func(c *Config) { c.AccessKey = "somebody" }),
		"secret":                        s.bucket(t, func(c *Config) { c.SecretKey = "wrong" }),
		"--snapshot-s3-timeout":         s.bucket(t, func(c *Config) { c.Timeout, c.Endpoint = time.Second, silent(t) }),
	} {
		err := b.Upload(t.Context(), e.Location)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got: %v", want, err)
		}
		if err != nil && (strings.Contains(err.Error(), testSecret) || strings.Contains(err.Error(), "wrong")) {
			t.Errorf("the secret is in: %v", err)
		}
		if _, err := b.List(t.Context(), ""); err == nil {
			t.Errorf("%s: listed", want)
		}
	}
	if found, _ := filepath.Glob(filepath.Join(s.folder, "backups/edge/one/*")); len(found) > 0 {
		t.Errorf("on the server: %v", found)
	}
}

// silent is an address that takes connections and never answers.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// cutting forwards connections to the server and cuts each of the first many
// after so many bytes in the direction that is counted.
func (s *server) cutting(t *testing.T, many int64, up, down int64) (address string, cuts *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	cuts = &atomic.Int64{}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", s.address)
			if err != nil {
				in.Close()
				return
			}
			pipe := func(to, from net.Conn, limit int64) {
				defer to.Close()
				defer from.Close()
				buf := make([]byte, 16<<10)
				for n := int64(0); ; {
					k, err := from.Read(buf)
					if err != nil {
						return
					}
					if n += int64(k); n > limit && cuts.Load() < many {
						cuts.Add(1)
						return
					}
					if _, err := to.Write(buf[:k]); err != nil {
						return
					}
				}
			}
			go pipe(out, in, up)
			go pipe(in, out, down)
		}
	}()
	return l.Addr().String(), cuts
}

func TestCutConnectionsCostOnePartNotTheUpload(t *testing.T) {
	t.Parallel()
	s := serve(t)
	e := made(t, 20<<20)
	address, cuts := s.cutting(t, 3, 11<<20, 1<<40)
	b := s.bucket(t, func(c *Config) { c.Endpoint = address })
	mustUpload(t, b, e)
	if cuts.Load() == 0 {
		t.Error("no connection was cut")
	}
	same(t, s.bucket(t), e)
}

func TestCutDownloadGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	s := serve(t)
	e := made(t, 12<<20)
	mustUpload(t, s.bucket(t), e)
	address, cuts := s.cutting(t, 2, 1<<40, 5<<20)
	same(t, s.bucket(t, func(c *Config) { c.Endpoint = address }), e)
	if cuts.Load() != 2 {
		t.Errorf("%d connections were cut", cuts.Load())
	}
}

func TestUploadThatIsGivenUpLeavesNothing(t *testing.T) {
	t.Parallel()
	s := serve(t)
	e := made(t, 40<<20)
	address, _ := s.cutting(t, 1<<40, 5<<20, 1<<40)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if err := s.bucket(t, func(c *Config) { c.Endpoint = address }).Upload(ctx, e.Location); err == nil {
		t.Fatal("uploaded over a connection that is always cut")
	}
	b := s.bucket(t)
	if l, err := b.List(t.Context(), ""); err != nil || len(l) != 0 {
		t.Errorf("listed %v, %v", l, err)
	}
	mustUpload(t, b, e)
	same(t, b, e)
	var begun []string
	for u := range b.client.ListIncompleteUploads(t.Context(), "backups", "edge/one/", true) {
		begun = append(begun, fmt.Sprint(u.Key, u.Err))
	}
	if len(begun) > 0 {
		t.Errorf("uploads that were begun and not ended: %v", begun)
	}
	found, err := os.ReadDir(filepath.Join(s.folder, "backups/edge/one"))
	if err != nil || len(found) != 1 {
		t.Errorf("on the server: %v, %v", found, err)
	}
}

func TestUploadsOfOtherNodesAreLeftAlone(t *testing.T) {
	t.Parallel()
	e := made(t, 10) // on-demand-server-1-TIME
	local, at := filepath.Dir(e.Location), "-20260304T050607Z.tar.zst"
	for _, c := range []struct {
		node, file string
		want       bool
	}{
		{"server-1", "scheduled-server-1" + at, true},
		{"server-1", "scheduled-server-1-b" + at, false},
		{"a", "scheduled-b-a-c" + at, false},
		{"a", "scheduled-b-a" + at, false},
		{"server-1", "deeper/scheduled-server-1" + at, false},
		// Named as one of a node demand-server-1 would be.
		{"server-1", e.File, true},
		{"1", e.File, false},
		{"server-1", "on-demand-server-1" + at, false},
	} {
		b := &Bucket{cfg: Config{Folder: "edge/one", Node: c.node}}
		if got := b.owns(b.key(c.file), local); got != c.want {
			t.Errorf("node %s owns %s: %v", c.node, c.file, got)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	good := Config{Endpoint: "s3.example.org:9000", Bucket: "b", AccessKey: "k", SecretKey: "s", Lookup: "path", Timeout: time.Minute}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Config){
		"HOST or HOST:PORT": func(c *Config) { c.Endpoint = "https://s3.example.org" },
		"give HOST":         func(c *Config) { c.Endpoint = "s3.example.org/bucket" },
		"bucket":            func(c *Config) { c.Bucket = "" },
		"KEDGE_SNAPSHOT_S3": func(c *Config) { c.SecretKey = "" },
		"lookup-type":       func(c *Config) { c.Lookup = "guess" },
		"timeout":           func(c *Config) { c.Timeout = 0 },
		"no TLS at all":     func(c *Config) { c.Insecure, c.SkipVerify = true, true },
		"leave ..":          func(c *Config) { c.Folder = "a/../b" },
	} {
		c := good
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got: %v", want, err)
		}
	}
	c := good
	c.SecretKey = "hidden-word"
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s", c, c, c, c.SecretKey), c.SecretKey.LogValue().String()} {
		if strings.Contains(text, "hidden-word") {
			t.Errorf("printed: %s", text)
		}
	}
	for _, ca := range []string{"/does/not/exist", "s3_test.go"} {
		c := good
		c.CAFile = ca
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), "--snapshot-s3-endpoint-ca") {
			t.Errorf("%s: %v", ca, err)
		}
	}
}
