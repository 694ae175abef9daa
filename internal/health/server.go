package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Server answers on the addresses that Listen bound.
type Server struct {
	listeners []net.Listener
	parts     map[string]http.Handler
}

// Handle lets a part of the daemon answer below a path of its own, such as
// "/link/", at the unix socket only: who can open that is root. It must be
// called before Serve.
func (s *Server) Handle(pattern string, part http.Handler) {
	if s.parts == nil {
		s.parts = map[string]http.Handler{}
	}
	s.parts[pattern] = part
}

// Serve is Listen followed by Server.Serve, for callers that need not know
// when the addresses are bound.
func Serve(ctx context.Context, socketPath, tcpAddr string, src Source) error {
	s, err := Listen(socketPath, tcpAddr)
	if err != nil {
		return err
	}
	return s.Serve(ctx, src)
}

// Listen binds the unix socket, with mode 0600 and below a directory that is
// made when missing, and tcpAddr ("127.0.0.1:9345") unless that is empty. A
// socket that a killed daemon left is replaced; one that answers is an error,
// and so is a TCP address that is not a loopback one: the report is not secret,
// but not for the network either.
func Listen(socketPath, tcpAddr string) (*Server, error) {
	l, err := listenUnix(socketPath)
	if err != nil {
		return nil, fmt.Errorf("status socket %s: %w", socketPath, err)
	}
	s := &Server{listeners: []net.Listener{l}}
	if tcpAddr == "" {
		return s, nil
	}
	l, err = listenLoopback(tcpAddr)
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("health address %q: %w", tcpAddr, err)
	}
	s.listeners = append(s.listeners, l)
	return s, nil
}

func listenUnix(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		conn.Close()
		return nil, errors.New("another kedge answers there: stop it first")
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func listenLoopback(addr string) (net.Listener, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil || !ap.Addr().IsLoopback() {
		return nil, errors.New("expected a loopback address and a port, such as 127.0.0.1:9345")
	}
	return net.Listen("tcp", addr)
}

// TCPAddr returns the bound TCP address, nil when there is none.
func (s *Server) TCPAddr() net.Addr {
	if len(s.listeners) < 2 {
		return nil
	}
	return s.listeners[1].Addr()
}

// Close gives up the addresses without serving.
func (s *Server) Close() {
	for _, l := range s.listeners {
		l.Close()
	}
}

// Serve answers until ctx ends and then returns nil, or earlier the error of a
// listener. The addresses are free and the socket is gone when it returns.
func (s *Server) Serve(ctx context.Context, src Source) error {
	done := make(chan error, len(s.listeners))
	for i, l := range s.listeners {
		handler := Handler(src)
		if i == 0 {
			handler = s.withParts(handler)
		}
		srv := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
		defer func() { _ = srv.Close() }()
		go func() { done <- srv.Serve(l) }()
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-done:
		return fmt.Errorf("serve health: %w", err)
	}
}

// withParts adds what is for root at the socket only: the daemon's parts and
// the runtime's profiles, as a heap profile shows secrets that are in memory.
func (s *Server) withParts(status http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", status)
	for pattern, part := range s.parts {
		mux.Handle(pattern, part)
	}
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// Handler serves the three paths for src.
func Handler(src Source) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		verdict(w, "failed", src().Failed())
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		verdict(w, "not ready", src().Pending())
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(src().judged()) // the client is gone: nobody to tell
	})
	return mux
}

// verdict answers 200 when nothing is wrong, else 503 with a line for each
// thing that is.
func verdict(w http.ResponseWriter, what string, wrong []string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if len(wrong) == 0 {
		fmt.Fprintln(w, "ok")
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	fmt.Fprintf(w, "%s:\n%s\n", what, strings.Join(wrong, "\n"))
}
