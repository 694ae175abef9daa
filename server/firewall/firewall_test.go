package firewall

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/edgefw/protocol"
	"github.com/kedge-io/kedge/internal/testx"
)

func condition(s v1alpha1.EdgeFirewallStatus, kind, reason string) bool {
	c := meta.FindStatusCondition(s.Conditions, kind)
	return c != nil && c.Reason == reason
}

func TestAddressesOfNodesFollowThemThroughTheirLives(t *testing.T) {
	c := start(t)
	c.firewalls.Add(aFirewall(1))
	c.nodes.Add(aNode("edge-1", nil))
	c.link("edge-1", "203.0.113.1")
	c.wait(t, "203.0.113.1", true, "server", "edge-1")

	c.Admit(t.Context(), "edge-2", netip.MustParseAddr("203.0.113.2"))
	// Not wait: when a join is answered, all connected nodes know the address.
	for _, n := range []string{"server", "edge-1"} {
		if !c.has(n, "203.0.113.2") {
			t.Errorf("%s does not know the address of the node that joins", n)
		}
	}
	c.nodes.Add(aNode("edge-2", nil))
	c.link("edge-2", "203.0.113.2")
	c.wait(t, "203.0.113.2", true, "server", "edge-1", "edge-2")

	c.link("edge-2", "198.51.100.2")
	c.wait(t, "198.51.100.2", true, "server", "edge-1", "edge-2")

	c.nodes.Delete(aNode("edge-2", nil))
	c.wait(t, "198.51.100.2", false, "server", "edge-1")
	c.wait(t, "203.0.113.2", false, "server", "edge-1")
	c.Up("edge-2") // its agent goes on
	c.nodes.Add(aNode("edge-3", nil))
	c.link("edge-3", "203.0.113.3")
	c.wait(t, "203.0.113.3", true, "server", "edge-1")
	c.wait(t, "198.51.100.2", false, "server", "edge-1")
}

func TestAddressIsWrittenOnceForEachChange(t *testing.T) {
	c := start(t)
	c.nodes.Add(aNode("edge-1", nil))
	annotated := func(want string) {
		t.Helper()
		testx.Eventually(t, time.Minute, "annotation "+want, func(context.Context) error {
			if w := c.node("edge-1"); w == nil || w.annotation != want {
				return errors.New("not yet")
			}
			return nil
		})
	}
	c.link("edge-1", "203.0.113.1")
	annotated("203.0.113.1")
	for range 5 {
		c.link("edge-1", "")
		c.link("edge-1", "203.0.113.1")
	}
	c.link("edge-1", "198.51.100.1")
	annotated("198.51.100.1")
	if patches, _ := c.count(); patches != 2 {
		t.Errorf("%d patches, want 2", patches)
	}
}

func TestStatusSumsUpWhatNodesAcknowledge(t *testing.T) {
	c := start(t)
	for _, n := range []string{"edge-1", "edge-2", "edge-3"} {
		c.nodes.Add(aNode(n, nil))
	}
	c.link("edge-1", "203.0.113.1")
	bad := &fakeNode{answer: protocol.StateRolledBack}
	c.mu.Lock()
	c.fleet["edge-2"] = bad
	c.mu.Unlock()
	c.link("edge-2", "203.0.113.2")
	c.firewalls.Add(aFirewall(1))
	c.waitStatus(t, "closed", func(s v1alpha1.EdgeFirewallStatus) bool {
		return s.ObservedGeneration == 1 && s.Nodes == v1alpha1.FirewallNodes{Selected: 4, Applied: 2, Pending: 1, RolledBack: 1} &&
			len(s.Problems) == 2 && s.Problems[0].Node == "edge-2" && s.Problems[0].Reason == "no server was reached within 15s" &&
			s.Problems[1].Node == "edge-3" && s.Slowest != nil &&
			condition(s, v1alpha1.ConditionAccepted, v1alpha1.ReasonAccepted) && condition(s, v1alpha1.ConditionEnforced, v1alpha1.ReasonRolledBack)
	})
	bad.mu.Lock()
	bad.answer = ""
	bad.mu.Unlock()
	c.link("edge-3", "203.0.113.3")
	c.firewalls.Modify(aFirewall(2))
	c.waitStatus(t, "closed", func(s v1alpha1.EdgeFirewallStatus) bool {
		return s.ObservedGeneration == 2 && s.Nodes == v1alpha1.FirewallNodes{Selected: 4, Applied: 4} && len(s.Problems) == 0 && s.Slowest == nil &&
			condition(s, v1alpha1.ConditionEnforced, v1alpha1.ReasonEnforced)
	})
	if _, writes := c.count(); writes > 20 {
		t.Errorf("%d writes of one status", writes)
	}
}

func TestJoinDoesNotWaitForASilentNodeForEver(t *testing.T) {
	c := start(t)
	c.firewalls.Add(aFirewall(1))
	c.nodes.Add(aNode("edge-1", nil))
	n := c.link("edge-1", "203.0.113.1")
	c.wait(t, "203.0.113.1", true, "server", "edge-1")
	n.mu.Lock()
	n.mute = true
	n.mu.Unlock()
	c.Admit(t.Context(), "edge-2", netip.MustParseAddr("203.0.113.2"))
	if !c.has("server", "203.0.113.2") {
		t.Error("one silent node keeps the others from knowing")
	}
}

func TestRevisionsGoOnAboveThoseOfFormerStatuses(t *testing.T) {
	c := start(t, func(c *cluster) {
		f := aFirewall(1)
		f.Status.Revision = 4711
		c.firewalls.Add(f)
	})
	c.waitStatus(t, "closed", func(s v1alpha1.EdgeFirewallStatus) bool { return s.Nodes.Applied == 1 && s.Revision > 4711 })
}

// sink keeps events.
type sink struct{ events chan *corev1.Event }

func (s sink) Create(e *corev1.Event) (*corev1.Event, error) {
	s.events <- e
	return e, nil
}
func (s sink) Update(e *corev1.Event) (*corev1.Event, error)          { return e, nil }
func (s sink) Patch(e *corev1.Event, _ []byte) (*corev1.Event, error) { return e, nil }

func TestEventsSayWhichNodesGoBackAndRecover(t *testing.T) {
	events := make(chan *corev1.Event, 100)
	bad := &fakeNode{answer: protocol.StateRolledBack}
	c := start(t, func(c *cluster) { c.sink, c.fleet["edge-1"] = sink{events}, bad })
	c.nodes.Add(aNode("edge-1", nil))
	c.firewalls.Add(aFirewall(1))
	c.link("edge-1", "203.0.113.1")
	expect := func(reason, kind, message string) {
		t.Helper()
		missing := map[string]bool{"Node edge-1": true, "EdgeFirewall closed": true}
		for len(missing) > 0 {
			select {
			case e := <-events:
				if e.Reason == reason && e.Type == kind && strings.Contains(e.Message, message) {
					delete(missing, e.InvolvedObject.Kind+" "+e.InvolvedObject.Name)
				}
			case <-time.After(time.Minute):
				t.Fatalf("no event %s of %v", reason, missing)
			}
		}
	}
	expect(EventRolledBack, corev1.EventTypeWarning, "no server was reached within 15s")
	bad.mu.Lock()
	bad.answer = ""
	bad.mu.Unlock()
	f := aFirewall(2)
	f.Spec.Ingress.Rules[0].Name = "nodes"
	c.firewalls.Modify(f)
	expect(EventRecovered, corev1.EventTypeNormal, "newest rules")
}
