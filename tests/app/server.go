package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// reproducible is n bytes that are the same every time and do not compress.
func reproducible(n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{'k', 'e', 'd', 'g', 'e'}), n)
}

// server is the HTTP side. counter guards the file in dir.
type server struct {
	dir     string
	started int64
	counter sync.Mutex
}

func newServer(dir string) http.Handler {
	s := &server{dir: dir, started: time.Now().UnixNano()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /hostname", s.hostname)
	mux.HandleFunc("GET /instance", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, s.started) })
	mux.HandleFunc("GET /bytes/{n}", s.bytes)
	mux.HandleFunc("GET /dns", s.dns)
	mux.HandleFunc("GET /get", s.get)
	mux.HandleFunc("GET /log", s.log)
	mux.HandleFunc("GET /peer", s.peer)
	mux.HandleFunc("POST /sink", s.sink)
	mux.HandleFunc("POST /checks", s.checks)
	mux.HandleFunc("GET /count", s.count(0))
	mux.HandleFunc("POST /count", s.count(1))
	return mux
}

// reply writes text, or the error with status 502.
func reply(w http.ResponseWriter, text string, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	fmt.Fprintln(w, text)
}

func (s *server) hostname(w http.ResponseWriter, _ *http.Request) {
	name, err := os.Hostname()
	reply(w, name, err)
}

func (s *server) bytes(w http.ResponseWriter, r *http.Request) {
	const most = 1 << 30
	n, err := strconv.ParseInt(r.PathValue("n"), 10, 64)
	if err != nil || n < 0 || n > most {
		http.Error(w, fmt.Sprintf("want a number up to %d", most), http.StatusBadRequest)
		return
	}
	h := sha256.New()
	_, _ = io.Copy(h, reproducible(n))
	w.Header().Set("X-Sum", fmt.Sprintf("%x", h.Sum(nil)))
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	_, _ = io.Copy(w, reproducible(n))
}

func (s *server) dns(w http.ResponseWriter, r *http.Request) {
	addrs, err := net.DefaultResolver.LookupHost(r.Context(), r.FormValue("name"))
	reply(w, strings.Join(addrs, " "), err)
}

func (s *server) get(w http.ResponseWriter, r *http.Request) {
	var body bytes.Buffer
	if err := fetch(r.Context(), r.FormValue("url"), &body); err != nil {
		reply(w, "", err)
		return
	}
	_, _ = body.WriteTo(w)
}

func (s *server) log(w http.ResponseWriter, r *http.Request) {
	_, err := fmt.Println(r.FormValue("line"))
	reply(w, "printed", err)
}

// peer answers with the address that the request came from.
func (s *server) peer(w http.ResponseWriter, r *http.Request) {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	reply(w, host, err)
}

func (s *server) sink(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	n, err := io.Copy(h, r.Body)
	reply(w, fmt.Sprintf("%d %x", n, h.Sum(nil)), err)
}

// seenBytes is the space at the begin of a datagram that is long enough for the sender's address.
const seenBytes = 24

// echoDatagrams returns each datagram to its sender, until the connection is closed.
func echoDatagrams(conn net.PacketConn) {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		if peer, ok := from.(*net.UDPAddr); ok && n > seenBytes {
			copy(buf, fmt.Sprintf("%-*s", seenBytes, peer.AddrPort().Addr().Unmap()))
		}
		_, _ = conn.WriteTo(buf[:n], from) // lost, as datagrams may be
	}
}

// count adds by to the counter and answers with it, after it is on disk.
func (s *server) count(by int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		s.counter.Lock()
		defer s.counter.Unlock()
		name := filepath.Join(s.dir, "count")
		text, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			reply(w, "", err)
			return
		}
		n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		n += by
		if by != 0 {
			err = writeSynced(name, strconv.Itoa(n))
		} else {
			err = nil
		}
		reply(w, strconv.Itoa(n), err)
	}
}

func writeSynced(name, text string) error {
	f, err := os.CreateTemp(filepath.Dir(name), "new-*")
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
