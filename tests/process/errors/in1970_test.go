package errors

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

// TestServerStartsIn1970 is a board without a battery and without a network: its server
// serves all the same, and says what is wrong.
func TestServerStartsIn1970(t *testing.T) {
	n := spareNode(t, lab.New(t, lab.OneServer()).Host("server"))
	n.Under = clockCommand(t, n.Host)
	n.Args = []string{"server", "--disable-agent", "--cgroup-root", n.Host.CgroupRoot()}
	cluster.Must(t, n.Start())
	testx.Eventually(t, cluster.Patience, "the API is ready", func(ctx context.Context) error {
		_, err := n.Kedge(ctx, "kubectl", "get", "--raw", "/readyz")
		return err
	})
	out, _ := n.Kedge(t.Context(), "status")
	if !strings.Contains(out, "1970") {
		t.Errorf("the status does not say that the clock shows 1970:\n%s", out)
	}
	cluster.Must(t, n.Kill())
}

// clockCommand is the start of a command line that runs the rest of it in 1970. The tracer is this
// test program, put where the host sees it.
func clockCommand(t *testing.T, h *lab.Host) []string {
	t.Helper()
	self, err := os.Executable()
	cluster.Must(t, err)
	data, err := os.ReadFile(self)
	cluster.Must(t, err)
	const there = "/usr/local/bin/in-1970"
	cluster.Must(t, os.WriteFile(h.OnDisk(there), data, 0o755))
	return []string{there, clockVerb}
}
