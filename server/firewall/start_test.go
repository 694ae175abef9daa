package firewall

import (
	"net/netip"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kedge-io/kedge/internal/wire"
)

// A server that starts anew knows nodes by their objects only. Rules that were
// made before all of them were looked at would shut the others out.
func TestNothingIsCompiledBeforeAllNodesWereLookedAt(t *testing.T) {
	looked := false
	c := start(t, func(c *cluster) {
		n := aNode("edge", nil)
		n.Annotations = map[string]string{wire.AnnotationPublicAddress: home.String()}
		c.nodes.Add(n)
		c.firewalls.Add(aFirewall(1))
		c.places.links = func(node string) []netip.Addr {
			if node == "edge" && !looked {
				looked = true
				tick := time.NewTicker(time.Millisecond)
				defer tick.Stop()
				for patience := time.After(time.Second); !c.running.Load(); {
					select {
					case <-patience:
						return nil
					case <-tick.C:
					}
				}
				t.Error("rules are made, and where a node comes from is not known")
			}
			return c.from(node)
		}
	})
	c.wait(t, home.String(), true, "server")
}

// What a node says of itself is bounded: one of a thousand must not fill the
// sets of the others.
func TestANodeClaimsSoManyAddresses(t *testing.T) {
	n := aNode("edge", nil)
	for i := range 3 * maxAddresses {
		a := netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}).String()
		n.Annotations = map[string]string{wire.AnnotationAddresses: n.Annotations[wire.AnnotationAddresses] + "," + a}
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: "2001:db8::" + strconv.Itoa(i)})
	}
	if got := len(reported(n)); got != maxAddresses {
		t.Errorf("%d addresses count", got)
	}
	n.Annotations = nil
	if got := len(reported(n)); got != maxAddresses {
		t.Errorf("%d external addresses count", got)
	}
}
