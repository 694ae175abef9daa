package s3

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/kedge-io/kedge/server/datastore/snapshot"
)

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

func TestUploadsOfOtherNodesAreLeftAlone(t *testing.T) {
	t.Parallel()
	e := made(t, 10) // on-demand-server-1-TIME
	local, at := filepath.Dir(e.Location), "-20260304T050607Z.tar.zst"
	long := 2 * forgotten
	for _, c := range []struct {
		node, file string
		ago        time.Duration
		want       bool
	}{
		{"server-1", "scheduled-server-1" + at, long, true},
		// Another cluster's server of that name may be at it.
		{"server-1", "scheduled-server-1" + at, time.Minute, false},
		{"server-1", "scheduled-server-1-b" + at, long, false},
		{"a", "scheduled-b-a-c" + at, long, false},
		{"a", "scheduled-b-a" + at, long, false},
		{"server-1", "deeper/scheduled-server-1" + at, long, false},
		// Named as one of a node demand-server-1 would be.
		{"server-1", e.File, time.Minute, true},
		{"1", e.File, long, false},
		{"server-1", "on-demand-server-1" + at, long, false},
	} {
		b := &Bucket{cfg: Config{Folder: "edge/one", Node: c.node}}
		if got := b.owns(b.key(c.file), local, time.Now().Add(-c.ago)); got != c.want {
			t.Errorf("node %s owns %s after %s: %v", c.node, c.file, c.ago, got)
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
