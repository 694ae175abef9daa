package s3

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/kedge-io/kedge/internal/fsx"
)

// before lets f look at each request before the server has it; f answers itself
// or returns true.
func (s *server) before(t *testing.T, f func(http.ResponseWriter, *http.Request) bool) string {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: s.address})
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(front.Close)
	return strings.TrimPrefix(front.URL, "http://")
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, code)
}

func isRead(r *http.Request, file string) bool {
	return r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/"+file)
}

func TestFileThatCannotBeReadDoesNotHideTheOthers(t *testing.T) {
	t.Parallel()
	s := serve(t)
	good, away, gone := made(t, 10<<10), made(t, 10<<10), made(t, 10<<10)
	b := s.bucket(t)
	raw, err := os.ReadFile(good.Location)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"good.tar.zst": good.Location, "away.tar.zst": away.Location, "gone.tar.zst": gone.Location}
	for file := range files {
		if _, err := b.client.PutObject(t.Context(), "backups", b.key(file), bytes.NewReader(raw), int64(len(raw)), minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	address := s.before(t, func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case isRead(r, "away.tar.zst"): // by a rule of the bucket, to slow storage
			refuse(w, http.StatusForbidden, "InvalidObjectState")
		case isRead(r, "gone.tar.zst"): // deleted since it was listed
			refuse(w, http.StatusNotFound, minio.NoSuchKey)
		default:
			return true
		}
		return false
	})
	l, err := s.bucket(t, func(c *Config) { c.Endpoint = address }).List(t.Context(), "")
	if err != nil || len(l) != 2 || l[0].File != "good.tar.zst" || !l[0].Good() || l[1].Problem == "" {
		t.Errorf("listed %+v, %v", l, err)
	}
}

func TestWayThatIsCutIsNoDamage(t *testing.T) {
	t.Parallel()
	s := serve(t)
	e := made(t, 100<<10)
	mustUpload(t, s.bucket(t), e)
	var reads atomic.Int64
	address := s.before(t, func(w http.ResponseWriter, r *http.Request) bool {
		if !isRead(r, e.File) || reads.Add(1) == 1 {
			return true
		}
		// The end came, the manifest does not.
		refuse(w, http.StatusServiceUnavailable, "SlowDown")
		return false
	})
	b := s.bucket(t, func(c *Config) { c.Endpoint = address; c.Timeout = 3 * time.Second })
	l, err := b.List(t.Context(), "")
	if err == nil || strings.Contains(err.Error(), "not a whole snapshot") {
		t.Errorf("listed %+v, %v", l, err)
	}
}

func TestThousandsOfFilesAreListed(t *testing.T) {
	t.Parallel()
	s := serve(t)
	const many = 1200
	for k := range many { // before the server has looked there
		if err := fsx.WriteFile(fmt.Sprintf("%s/backups/edge/one/foreign-%04d.tar.zst", s.folder, k), []byte("rubbish"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b := s.bucket(t)
	e := made(t, 100)
	mustUpload(t, b, e)
	l, err := b.List(t.Context(), "")
	if err != nil || len(l) != many+1 || l[0].File != e.File || !l[0].Good() {
		t.Errorf("listed %d, %v", len(l), err)
	}
}

func TestSnapshotOfAnotherClusterIsNotOverwritten(t *testing.T) {
	t.Parallel()
	s := serve(t)
	b := s.bucket(t)
	theirs, ours := made(t, 10<<10), made(t, 10<<10)
	raw, err := os.ReadFile(theirs.Location)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.client.PutObject(t.Context(), "backups", b.key(ours.File), bytes.NewReader(raw), int64(len(raw)), minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := b.Upload(t.Context(), ours.Location); err == nil || !strings.Contains(err.Error(), "another cluster") {
		t.Errorf("uploaded over it: %v", err)
	}
	other := s.bucket(t, func(c *Config) { c.Folder = "edge//two/" })
	for range 2 { // its own is written again
		mustUpload(t, other, ours)
	}
	if l, err := other.List(t.Context(), ""); err != nil || len(l) != 1 {
		t.Errorf("listed %v, %v", l, err)
	}
}

func TestServerThatSendsElsewhereIsNamed(t *testing.T) {
	t.Parallel()
	s := serve(t)
	address := s.before(t, func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, "https://elsewhere.example"+r.URL.Path, http.StatusMovedPermanently)
		return false
	})
	err := s.bucket(t, func(c *Config) { c.Endpoint = address }).Upload(t.Context(), made(t, 100).Location)
	if err == nil || !strings.Contains(err.Error(), "sends requests elsewhere") {
		t.Errorf("got %v", err)
	}
}
