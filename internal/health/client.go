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
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socketPath)
	}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://kedge/status", nil)
	if err != nil {
		return r, fmt.Errorf("ask status socket %s: %w", socketPath, err)
	}
	resp, err := transport.RoundTrip(req)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return r, fmt.Errorf("%w: nothing answers on %s", ErrNotRunning, socketPath)
	case err != nil:
		return r, fmt.Errorf("ask status socket %s: %w", socketPath, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return r, fmt.Errorf("ask status socket %s: answer %s", socketPath, resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxReport)).Decode(&r); err != nil {
		return r, fmt.Errorf("read status from %s: %w", socketPath, err)
	}
	return r, nil
}
