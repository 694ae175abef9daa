package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/internal/testx"
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

func TestChecksSeeWhatTheOtherEndSaw(t *testing.T) {
	s := httptest.NewServer(newServer(t.TempDir()))
	defer s.Close()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go echoDatagrams(conn)
	web := strings.TrimPrefix(s.URL, "http://")
	list, err := json.Marshal([]check{
		{Kind: "peer", To: web, Seconds: 10},
		{Kind: "udp", To: conn.LocalAddr().String(), Bytes: 1400, Seconds: 10},
		{Kind: "udp", To: conn.LocalAddr().String(), Bytes: 1, Seconds: 10},
		{Kind: "get", To: web, Bytes: 100000, Seconds: 10},
		{Kind: "put", To: web, Bytes: 100000, Seconds: 10},
		{Kind: "dns", To: "localhost", Seconds: 10},
		{Kind: "get", To: "127.0.0.1:1", Bytes: 1, Seconds: 10},
		{Kind: "nonsense", Seconds: 10},
		{Kind: "tcp", To: web, Seconds: 10},
		{Kind: "tcp", To: "127.0.0.1:1", Seconds: 10},
		{Kind: "hold", To: web, Seconds: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(s.URL+"/checks", "application/json", bytes.NewReader(list))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got []result
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || len(got) != 11 {
		t.Fatalf("%v %v", got, err)
	}
	for i, want := range []string{"127.0.0.1", "127.0.0.1", "", "", ""} {
		if !got[i].Worked || got[i].Saw != want {
			t.Errorf("check %d: %+v, want it to have seen %q", i, got[i], want)
		}
	}
	if !strings.Contains(got[5].Saw, "127.0.0.1") || got[6].Worked || got[7].Worked || !got[8].Worked || got[9].Worked || !got[10].Worked {
		t.Errorf("%+v", got[5:])
	}
}

func TestInternetSumOfItselfIsZero(t *testing.T) {
	p := []byte{8, 0, 0, 0, 0x12, 0x34, 0x56, 0x78, 9}
	sum := internetSum(p)
	p[2], p[3] = byte(sum>>8), byte(sum)
	if got := internetSum(p); got != 0 {
		t.Errorf("got %x", got)
	}
}

func TestPing(t *testing.T) {
	testx.NeedRoot(t)
	if r := (check{Kind: "ping", To: "127.0.0.1", Bytes: 1400, Seconds: 10}).run(t.Context()); !r.Worked {
		t.Errorf("%+v", r)
	}
}
