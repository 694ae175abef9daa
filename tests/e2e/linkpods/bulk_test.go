package linkpods

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab/cluster"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// relay is the device through which packets for other sites leave a node.
const relay = "kedge-relay"

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

// bulkSize is what each pair moves in each direction.
func bulkSize(t *testing.T) int64 {
	q, err := resource.ParseQuantity(strings.TrimSuffix(cmpOr(os.Getenv("KEDGE_BULK"), "16Mi"), "B"))
	if err != nil {
		t.Fatalf("KEDGE_BULK=%s: %v", os.Getenv("KEDGE_BULK"), err)
	}
	return q.Value()
}

func cmpOr(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// pod is the pod on a node.
func (s *scene) pod(node string) *corev1.Pod {
	for i := range s.pods {
		if s.pods[i].Spec.NodeName == node {
			return &s.pods[i]
		}
	}
	return nil
}

// relayed is how many bytes a node has sent and received through the relay.
func (s *scene) relayed(ctx context.Context, node string) (int64, error) {
	host, sum := s.c.Node(node).Host, int64(0)
	for _, file := range []string{"rx_bytes", "tx_bytes"} {
		out, errOut, err := host.Run(ctx, "cat", "/sys/class/net/"+relay+"/statistics/"+file)
		if err != nil {
			return 0, fmt.Errorf("%w: %s", err, errOut)
		}
		n, err := strconv.ParseInt(strings.TrimSpace(out), 10, 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// moved is how much passes the relay of the node from while it sends size bytes to the other one.
func (s *scene) moved(ctx context.Context, from, to string, size int64) (int64, error) {
	before, err := s.relayed(ctx, from)
	if err != nil {
		return 0, err
	}
	check := cluster.Check{Kind: "put", To: fmt.Sprintf("%s:%d", s.pod(to).Status.PodIP, port), Bytes: size, Seconds: 10}
	results, err := s.c.Checks(ctx, s.pod(from), []cluster.Check{check})
	if err != nil {
		return 0, err
	}
	if !results[0].Worked {
		return 0, errors.New(results[0].Error)
	}
	after, err := s.relayed(ctx, from)
	return after - before, err
}

// direct shows by the counters of the devices that neighbours need no relay and others do.
func (s *scene) direct(t *testing.T) {
	for _, pair := range []struct {
		from, to string
		relayed  bool
	}{
		{"edge2", "edge2b", false}, {"edge2b", "edge2", false},
		{"edge2b", "edge1", true}, {"edge1", "edge2b", true}, {"edge1", "edge2", true}, {"edge2", "edge3", true}, {"edge3", "server", true},
	} {
		s.goes(t, pair.from, pair.to, pair.relayed)
	}
}

// goes waits until what one node's pod sends to another's takes the relay, or not. Neighbours find
// each other, and miss each other, after some time.
func (s *scene) goes(t *testing.T, from, to string, relayed bool) {
	t.Helper()
	const size = 8 << 20
	testx.Eventually(t, patience, fmt.Sprintf("%s to %s goes over the link: %t", from, to, relayed), func(ctx context.Context) error {
		n, err := s.moved(ctx, from, to, size)
		if err == nil && (n > size/2) != relayed {
			err = fmt.Errorf("%d of %d bytes passed the relay", n, size)
		}
		return err
	})
}

// bulk moves much between all pairs, both ways, one pair after the other, so that the figures mean
// something.
func (s *scene) bulk(t *testing.T) {
	size := bulkSize(t)
	seconds := 60 + int(size>>23) // 64 Mbit/s at least
	var table strings.Builder
	fmt.Fprintf(&table, "| %d MiB, Mbit/s | from %s |\n|---|%s\n", size>>20, strings.Join(s.names(), " | from "), strings.Repeat("---|", len(s.pods)))
	for i := range s.pods {
		to := s.pods[i].Spec.NodeName
		fmt.Fprintf(&table, "| to %s |", to)
		for j := range s.pods {
			if i == j {
				fmt.Fprint(&table, " |")
				continue
			}
			check := cluster.Check{Kind: "put", To: fmt.Sprintf("%s:%d", s.pods[i].Status.PodIP, port), Bytes: size, Seconds: seconds}
			results, err := s.c.Checks(t.Context(), &s.pods[j], []cluster.Check{check})
			cluster.Must(t, err)
			if !results[0].Worked {
				t.Errorf("%s to %s: %s", s.pods[j].Name, s.pods[i].Name, results[0].Error)
			}
			fmt.Fprintf(&table, " %.0f |", float64(size)*8/1e6/results[0].Took.Seconds())
		}
		fmt.Fprintln(&table)
	}
	t.Logf("relay and direct:\n%s", table.String())
	if dir := s.c.Lab.Out(); dir != "" {
		cluster.Must(t, os.WriteFile(dir+"/bulk.md", []byte(table.String()), 0o644))
	}
}

func (s *scene) names() []string {
	var all []string
	for i := range s.pods {
		all = append(all, s.pods[i].Spec.NodeName)
	}
	return all
}

// fallback shows that neighbours that no longer hear each other use the link, and leave it again.
func (s *scene) fallback(t *testing.T) {
	host := s.c.Node("edge2").Host
	nft := func(script string) {
		_, errOut, err := host.RunInput(t.Context(), []byte(script), "nft", "-f", "-")
		if err != nil {
			t.Fatalf("nft: %v: %s", err, errOut)
		}
	}
	// Like a network that lets the addresses of its own machines pass and no others.
	nft("table ip wall { chain in { type filter hook prerouting priority raw; iifname eth0 ip saddr 10.42.0.0/16 drop; }; }")
	s.goes(t, "edge2", "edge2b", true)
	s.goes(t, "edge2b", "edge2", true)
	nft("delete table ip wall")
	s.goes(t, "edge2", "edge2b", false)
	s.goes(t, "edge2b", "edge2", false)
}
