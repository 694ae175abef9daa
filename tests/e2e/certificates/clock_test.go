package certificates

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

// wrongClocks starts two agents anew on machines whose clocks are far off. Their
// certificates do not look as if they were good then.
func wrongClocks(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	since1970 := time.Duration(time.Now().Unix()) * time.Second
	shifts := []time.Duration{time.Minute - since1970, 2 * 365 * 24 * time.Hour}
	for i, shift := range shifts {
		n := c.Agents[i]
		cluster.Must(t, n.Stop(t.Context()))
		n.Under = cluster.WithClock(t, n.Host, shift)
	}
	start := time.Now()
	for i := range shifts {
		cluster.Must(t, c.Agents[i].Start())
	}
	for i, shift := range shifts {
		n := c.Agents[i]
		c.WaitAlive(t, n, start, "app-"+n.Name())
		// A clock that is ahead is only known from the server.
		testx.Eventually(t, cluster.Patience, n.Name()+" says that its clock is wrong", func(context.Context) error {
			if len(lines(n, "clock is wrong")) == 0 {
				return errors.New("its log does not")
			}
			return nil
		})
		t.Logf("%s is back after %s with a clock that shows %s", n.Name(), time.Since(start).Round(time.Second), time.Now().Add(shift).UTC().Format(time.DateOnly))
	}
}
