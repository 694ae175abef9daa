package firewall

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/internal/wire"
)

func TestTheGateHasTheRulesThatWereCompiled(t *testing.T) {
	c := start(t)
	ask := func() bool {
		return c.gate.ask(netip.AddrPortFrom(away, 40000), netip.AddrPortFrom(netip.MustParseAddr(ownHost), 6443)).open
	}
	if !ask() {
		t.Error("it is closed without a firewall")
	}
	c.firewalls.Add(aFirewall(1))
	testx.Eventually(t, time.Minute, "strangers are kept out", func(context.Context) error {
		if ask() {
			return errors.New("the gate is open")
		}
		return nil
	})
}

// Somebody may delete a node and make it again before the watch tells of either.
func TestANodeThatWasMadeAgainDoesNotComeFromWhereTheFormerDid(t *testing.T) {
	c := start(t)
	c.firewalls.Add(aFirewall(1))
	n := aNode("edge", nil)
	n.Annotations = map[string]string{wire.AnnotationPublicAddress: home.String()}
	c.nodes.Add(n)
	c.wait(t, home.String(), true, "server")
	again := aNode("edge", nil)
	again.UID = "uid-another"
	c.nodes.Modify(again)
	c.wait(t, home.String(), false, "server")
}

func TestThePatchOfANodeNamesWhichOneItIs(t *testing.T) {
	f := &Firewall{places: newAtlas().places}
	f.places.admit("edge", home, f.places.now())
	f.places.exists("edge", nil)
	w := &watchedNode{ObjectMeta: aNode("edge", nil).ObjectMeta}
	meta, ok := f.annotation(w)["metadata"].(map[string]any)
	if !ok || meta["uid"] != w.UID {
		t.Errorf("the patch is %v", meta)
	}
}

func TestAnAddressThatNobodyCanComeFromIsNotAdmitted(t *testing.T) {
	f := &Firewall{places: newAtlas().places}
	for _, a := range strings.Fields("127.0.0.1 ::1 fe80::1 0.0.0.0 224.0.0.1") {
		f.Admit(t.Context(), "edge", netip.MustParseAddr(a))
	}
	if got := f.places.of("edge"); got != nil {
		t.Errorf("admitted are %v", got)
	}
}

func TestAnOldJoinIsNotTakenUpAgain(t *testing.T) {
	a := newAtlas()
	a.admit("edge", home, a.time.Add(-joinGrace))
	if len(a.nodes) != 0 {
		t.Error("it is remembered")
	}
}
