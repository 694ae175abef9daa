package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kedge-io/kedge/tests/bench/bed"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

// sites are those with real nodes.
const sites = 3

// label is on nodes and says which part they are of.
const label = "bench.kedge.io/part"

// bench is the cluster of a run.
type bench struct {
	*cluster.Cluster
	t      *bed.Attempted
	o      options
	r      *results
	self   string
	probes []*probe
	seen   *sightings // of the watch beside the server
	number int        // of the latest step
}

// topology has real nodes, or a host for a crowd.
func topology(edges bool) lab.Topology {
	t := lab.OneServer()
	if !edges {
		t.Sites = append(t.Sites, lab.Site{Name: "crowded", Public: true, Hosts: []string{"crowd"}})
		return t
	}
	for k := 1; k <= sites; k++ {
		t.Sites = append(t.Sites, lab.Site{
			Name: fmt.Sprintf("site%d", k), Hosts: []string{fmt.Sprintf("edge%da", k), fmt.Sprintf("edge%db", k)},
		})
	}
	return t
}

func up(t *bed.Attempted, o options, r *results, edges bool) *bench {
	self, err := os.Executable()
	cluster.Must(t, err)
	// What the packages for tests look at.
	cluster.Must(t, os.Setenv("KEDGE_BINARY", o.kedge))
	cluster.Must(t, os.Setenv("KEDGE_LAB_DIR", o.out))
	b := &bench{t: t, o: o, r: r, self: self}
	b.Cluster = cluster.New(t, topology(edges), cluster.Options{
		Bare: []string{"crowd"},
		// 500 nodes need 500 ranges of pods.
		ServerArgs: []string{"--cluster-cidr", "10.96.0.0/12"},
	})
	for _, n := range b.Agents {
		b.label(n.Name(), "real")
	}
	b.seen = newSightings()
	b.watchAPI()
	return b
}

func (b *bench) label(node, part string) {
	patch := fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, label, part)
	_, err := b.Client.CoreV1().Nodes().Patch(b.t.Context(), node, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	cluster.Must(b.t, err)
}

// authority copies the cluster's authorities, which sign for simulated nodes.
func (b *bench) authority() (*bed.Authority, error) {
	dir := filepath.Join(b.t.TempDir(), "certificates")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for _, name := range []string{"server-ca.crt", "server-ca.key", "client-ca.crt", "client-ca.key"} {
		text, err := b.Server.Host.ReadFile("/var/lib/kedge/server/tls/" + name)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return nil, err
		}
	}
	return bed.NewAuthority(dir)
}

// rest waits between two changes, each time a bit longer or shorter, so that they
// do not keep step with anything.
func (b *bench) rest() { b.wait(1500*time.Millisecond + rand.N(time.Second)) }

func (b *bench) wait(d time.Duration) {
	select {
	case <-time.After(d):
	case <-b.t.Context().Done():
		b.t.Fatal(context.Cause(b.t.Context()))
	}
}
