package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func body(t *testing.T, method, url string) (string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s %v", url, resp.Status, b, err)
	}
	return string(b), resp.Header
}

func TestCounterOutlivesTheServer(t *testing.T) {
	dir := t.TempDir()
	for want := 1; want < 4; want++ {
		s := httptest.NewServer(newServer(dir))
		if got, _ := body(t, http.MethodPost, s.URL+"/count"); got != fmt.Sprintln(want) {
			t.Errorf("got %q, want %d", got, want)
		}
		s.Close()
	}
}

func TestBytesMatchTheirSum(t *testing.T) {
	s := httptest.NewServer(newServer(t.TempDir()))
	defer s.Close()
	got, head := body(t, http.MethodGet, s.URL+"/bytes/100000")
	if len(got) != 100000 || head.Get("X-Sum") != fmt.Sprintf("%x", sha256.Sum256([]byte(got))) {
		t.Errorf("%d bytes with sum %s", len(got), head.Get("X-Sum"))
	}
}

func TestGetFetchesThroughTheServer(t *testing.T) {
	s := httptest.NewServer(newServer(t.TempDir()))
	defer s.Close()
	if got, _ := body(t, http.MethodGet, s.URL+"/get?url="+s.URL+"/"); got != "ok\n" {
		t.Errorf("got %q", got)
	}
}

func TestPackedFileUnpacks(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "f"), t.TempDir()
	if err := os.WriteFile(from, []byte(strings.Repeat("x", 10000)), 0o600); err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := pack(&archive, from); err != nil {
		t.Fatal(err)
	}
	if err := unpack(&archive, to); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(to, from)); err != nil || len(got) != 10000 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
