package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// ErrNotRunning says that no daemon answers on a socket.
var ErrNotRunning = errors.New("no daemon is running")

// fetchTimeout bounds one question to a daemon on the same host.
const fetchTimeout = 5 * time.Second

// maxReport bounds a report, in bytes.
const maxReport = 4 << 20

// Fetch asks the daemon on socketPath for its report. The error wraps
// ErrNotRunning when nobody listens there, fs.ErrPermission when the caller may
// not ask.
func Fetch(ctx context.Context, socketPath string) (Report, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	var r Report
	err := Ask(ctx, socketPath, http.MethodGet, "/status", func(body io.Reader) error {
		return json.NewDecoder(body).Decode(&r)
	})
	return r, err
}

// Ask sends a request without a body to the daemon on socketPath and hands the
// answer, of at most 4 MiB, to read. What the daemon says against the request
// is the error; otherwise the errors are those of [Fetch].
func Ask(ctx context.Context, socketPath, method, path string, read func(io.Reader) error) error {
	return send(ctx, socketPath, method, path, nil, maxReport, read)
}

// Post is Ask with a body. The answer is bounded by limit, in bytes.
func Post(ctx context.Context, socketPath, path string, body io.Reader, limit int64, read func(io.Reader) error) error {
	return send(ctx, socketPath, http.MethodPost, path, body, limit, read)
}

func send(ctx context.Context, socketPath, method, path string, body io.Reader, limit int64, read func(io.Reader) error) error {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socketPath)
	}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, method, "http://kedge"+path, body)
	if err != nil {
		return fmt.Errorf("ask status socket %s: %w", socketPath, err)
	}
	resp, err := transport.RoundTrip(req)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: nothing answers on %s", ErrNotRunning, socketPath)
	case err != nil:
		return fmt.Errorf("ask status socket %s: %w", socketPath, err)
	}
	defer resp.Body.Close()
	answer := io.LimitReader(resp.Body, limit)
	if resp.StatusCode >= http.StatusMultipleChoices {
		text, _ := io.ReadAll(io.LimitReader(answer, maxRefusal))
		return &RefusedError{Status: resp.Status, Code: resp.StatusCode, Text: strings.TrimSpace(string(text))}
	}
	if err := read(answer); err != nil {
		return fmt.Errorf("read %s from %s: %w", path, socketPath, err)
	}
	return nil
}

// maxRefusal bounds what a daemon says against a request, in bytes.
const maxRefusal = 4 << 10

// RefusedError is what a daemon says against a request.
type RefusedError struct {
	// Status and Code are those of HTTP.
	Status string
	Code   int
	// Text is for people.
	Text string
}

// Error is the daemon's own text, or the status where it gave none.
func (e *RefusedError) Error() string {
	if e.Text == "" {
		return "the daemon answers " + e.Status
	}
	return e.Text
}
