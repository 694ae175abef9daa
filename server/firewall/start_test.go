package firewall

import (
	"net/netip"
	"testing"
	"time"

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
