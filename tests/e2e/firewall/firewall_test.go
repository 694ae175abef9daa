// Package firewall is the scenario in README.md.
package firewall

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

func TestRealPacketsMeetTheRules(t *testing.T) {
	s := newScene(t)
	t.Run("no firewall", func(t *testing.T) { s.expect(t, everything) })
	for _, r := range rulings {
		t.Run(r.name, func(t *testing.T) {
			s.enforce(t, r.manifest)
			s.expect(t, r.packets)
		})
	}
	t.Run("changes", func(t *testing.T) { s.changes(t) })
	t.Run("after all of them", func(t *testing.T) {
		s.enforce(t, "")
		s.expect(t, everything)
		s.works(t)
	})
}

// enforce replaces all firewalls by those of a manifest, in which addresses are
// words such as FRIEND, and waits until they are enforced.
func (s *scene) enforce(t *testing.T, manifest string) {
	t.Helper()
	names := s.Kubectl(t, "get", "edgefirewalls", "-o", "name")
	words := []string{}
	for name, h := range s.hosts {
		words = append(words, strings.ToUpper(name), h.IP())
	}
	if manifest != "" {
		s.Apply(t, strings.NewReplacer(words...).Replace(manifest))
	}
	for name := range strings.FieldsSeq(names) {
		name = strings.TrimPrefix(name, "edgefirewall.edge.kedge.io/")
		if !strings.Contains(manifest, "name: "+name+"}") {
			s.Kubectl(t, "delete", "edgefirewall", name)
		}
	}
	left := strings.Fields(s.Kubectl(t, "get", "edgefirewalls", "-o", "jsonpath={.items[*].metadata.name}"))
	for _, name := range left {
		s.WaitEnforced(t, name)
	}
	s.caughtUp(t, left)
}

// caughtUp waits until no node enforces any other firewall.
func (s *scene) caughtUp(t *testing.T, names []string) {
	t.Helper()
	testx.Eventually(t, cluster.Patience, "nodes enforce nothing else", func(ctx context.Context) error {
		fleet, err := s.Firewalls(ctx)
		if err != nil {
			return err
		}
		for _, n := range fleet.Nodes {
			if stale := slices.ContainsFunc(n.Firewalls, func(name string) bool { return !slices.Contains(names, name) }); stale ||
				n.State != "Applied" {
				return fmt.Errorf("%s is %s at %d of %d with %v: %s", n.Node, n.State, n.Applied, fleet.Revision, n.Firewalls, n.Reason)
			}
		}
		return nil
	})
}

// works looks whether the cluster itself does.
func (s *scene) works(t *testing.T) {
	t.Helper()
	for _, node := range []string{"server", "edge1"} {
		s.WaitNode(t, node, corev1.ConditionTrue)
		if out := s.Kubectl(t, "exec", "web-"+node, "--", "get", "http://127.0.0.1:8080/"); strings.TrimSpace(out) != "ok" {
			t.Errorf("exec on %s: %q", node, out)
		}
		results, err := s.Checks(t.Context(), s.pods["pod@"+node], []cluster.Check{{Kind: "dns", To: "kubernetes.default.svc.cluster.local"}})
		if err != nil || !results[0].Worked {
			t.Errorf("names on %s: %v, %v", node, results, err)
		}
	}
}
