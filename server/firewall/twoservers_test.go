package firewall

import (
	"testing"

	"github.com/kedge-io/kedge/internal/wire"
)

// Of two servers the one that has a node's link says where it is. The other one
// believes it, and does not write back what it knew before.
func TestAnotherServersWordIsBelieved(t *testing.T) {
	c := start(t)
	c.firewalls.Add(aFirewall(1))
	n := aNode("edge", nil)
	n.Annotations = map[string]string{wire.AnnotationPublicAddress: home.String()}
	c.nodes.Add(n)
	c.wait(t, home.String(), true, "server")
	n = n.DeepCopy()
	n.Annotations[wire.AnnotationPublicAddress] = away.String()
	c.nodes.Modify(n)
	c.wait(t, away.String(), true, "server")
	c.wait(t, home.String(), false, "server")
	if patches, _ := c.count(); patches != 0 {
		t.Errorf("the annotation was written back %d times", patches)
	}
}

func TestALinkHereIsMoreThanAnotherServersWord(t *testing.T) {
	a := newAtlas()
	a.exists("edge", nil)
	a.links["edge"] = append(a.links["edge"], home)
	a.look("edge")
	if a.told("edge", addressList(away.String())) {
		t.Error("it is a change")
	}
	a.want(t, home)
	delete(a.links, "edge")
	a.look("edge")
	if !a.told("edge", addressList(away.String())) {
		t.Error("it is no change")
	}
	a.want(t, away)
}
