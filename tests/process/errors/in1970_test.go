package errors

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

// TestServerStartsIn1970 is a board without a battery and without a network: its server
// serves all the same, and says what is wrong; join tokens that are made there are good.
func TestServerStartsIn1970(t *testing.T) {
	n := spareNode(t, lab.New(t, lab.OneServer()).Host("server"))
	since1970 := time.Duration(time.Now().Unix()) * time.Second
	n.Under = cluster.WithClock(t, n.Host, 24*time.Hour-since1970)
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
	for _, args := range [][]string{{"create"}, {"list"}} {
		argv := slices.Concat(n.Under, []string{"/usr/local/bin/kedge", "token"}, args)
		said, errOut, err := n.Host.Run(t.Context(), argv...)
		if err != nil {
			t.Fatalf("token %s: %v: %s", args, err, errOut)
		}
		if strings.Contains(said, "1970") || strings.Contains(said, "expired") {
			t.Errorf("the token ends by another clock than the server's:\n%s", said)
		}
	}
	cluster.Must(t, n.Kill())
}
