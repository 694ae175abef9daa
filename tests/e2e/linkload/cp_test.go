package linkload

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/tests/lab/cluster"
	"k8s.io/apimachinery/pkg/api/resource"
)

// cp copies a file of that size out of the pod and into it again, with check sums.
func cp(t *testing.T, c *cluster.Cluster, text string) {
	t.Helper()
	const inPod, here, again = "/data/large", "/var/lib/large", "/data/again"
	size := resource.MustParse(text)
	c.Kubectl(t, "exec", "web", "--", "fill", inPod, fmt.Sprint(size.Value()))
	want := strings.TrimSpace(c.Kubectl(t, "exec", "web", "--", "sum", inPod))
	for _, step := range [][]string{{"web:" + inPod, here}, {here, "web:" + again}} {
		begin := time.Now()
		_, err := c.TryKubectl(t.Context(), "cp", step[0], step[1])
		cluster.Must(t, err)
		t.Logf("cp %s %s: %s, %.0f Mbit/s", step[0], step[1], text, float64(size.Value())*8/1e6/time.Since(begin).Seconds())
	}
	got, errOut, err := c.Server.Host.Run(t.Context(), "sha256sum", here)
	if err != nil || !strings.HasPrefix(got, want) {
		t.Errorf("out of the pod came %s, want %s: %v %s", got, want, err, errOut)
	}
	if got := strings.TrimSpace(c.Kubectl(t, "exec", "web", "--", "sum", again)); got != want {
		t.Errorf("into the pod went %s, want %s", got, want)
	}
}
