package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

// keepProfile asks the daemon on the host for one of its runtime's profiles, as
// soon as it answers, and writes it to a file for go tool pprof.
func keepProfile(ctx context.Context, h *lab.Host, what, file string) {
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", h.Path("/run/kedge/kedge.sock"))
		},
	}}
	err := testx.Poll(ctx, func(ctx context.Context) error {
		text, err := cluster.Fetch(ctx, client, http.MethodGet, "http://kedge/debug/pprof/"+what)
		if err != nil {
			return err
		}
		return os.WriteFile(file, []byte(text), 0o600)
	})
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: profile %s: %v\n", file, err)
	}
}
