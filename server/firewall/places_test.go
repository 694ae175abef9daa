package firewall

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

var (
	home = netip.MustParseAddr("203.0.113.7")
	away = netip.MustParseAddr("198.51.100.9")
)

// atlas is places with links and a clock that tests change.
type atlas struct {
	*places
	links map[string][]netip.Addr
	time  time.Time
}

func newAtlas() *atlas {
	a := &atlas{links: map[string][]netip.Addr{}, time: time.Unix(1_000_000, 0)}
	a.places = newPlaces(func(node string) []netip.Addr { return a.links[node] }, func() time.Time { return a.time })
	return a
}

func (a *atlas) pass(d time.Duration) bool {
	a.time = a.time.Add(d)
	return a.expire()
}

func (a *atlas) want(t *testing.T, want ...netip.Addr) {
	t.Helper()
	if got := a.of("edge"); !slices.Equal(got, want) {
		t.Errorf("the node comes from %v, want %v", got, want)
	}
}

func (a *atlas) wantRemembered(t *testing.T, want ...netip.Addr) {
	t.Helper()
	if got := a.remember("edge"); !slices.Equal(got, want) {
		t.Errorf("to be remembered are %v, want %v", got, want)
	}
}

func TestJoiningNodeCountsBeforeItHasAnObject(t *testing.T) {
	a := newAtlas()
	a.admit("edge", home, a.time)
	a.want(t, home)
	if got := a.joining(); !slices.Equal(got, []string{"edge"}) {
		t.Errorf("joining: %v", got)
	}
	a.exists("edge", nil)
	a.want(t, home)
	a.wantRemembered(t, home)
	if got := a.joining(); got != nil {
		t.Errorf("still joining: %v", got)
	}
	a.links["edge"] = []netip.Addr{away}
	if !a.look("edge") {
		t.Error("the first link is no change")
	}
	a.want(t, away)
	a.wantRemembered(t, away)
	if !a.settled("edge") || a.settled("edge") {
		t.Error("it is not told once that the node is there")
	}
}

func TestJoinThatGoesNoFurtherIsForgotten(t *testing.T) {
	a := newAtlas()
	a.admit("edge", home, a.time)
	a.pass(joinGrace - time.Second)
	a.want(t, home)
	if !a.pass(time.Second) {
		t.Error("the end of a join is no change")
	}
	a.want(t)
	if a.pass(time.Hour) {
		t.Error("a change after the end")
	}
}

func TestRoamingNodeHasBothAddressesForAWhile(t *testing.T) {
	a := newAtlas()
	a.links["edge"] = []netip.Addr{home}
	if !a.exists("edge", nil) {
		t.Error("a new node is no change")
	}
	a.want(t, home)
	a.pass(time.Hour)
	a.links["edge"] = []netip.Addr{away}
	if !a.look("edge") {
		t.Error("roaming is no change")
	}
	a.want(t, away, home)
	a.wantRemembered(t, away)
	if !a.pass(roamGrace) {
		t.Error("the end of the former address is no change")
	}
	a.want(t, away)
}

func TestReconnectIsNoChange(t *testing.T) {
	a := newAtlas()
	a.links["edge"] = []netip.Addr{home}
	a.exists("edge", nil)
	for range 3 {
		a.links["edge"] = nil
		if a.look("edge") || a.pass(time.Hour) {
			t.Error("a lost link is a change")
		}
		a.wantRemembered(t, home)
		a.links["edge"] = []netip.Addr{home}
		if a.look("edge") || a.exists("edge", nil) {
			t.Error("a link from where it was is a change")
		}
	}
	a.want(t, home)
}

func TestRememberedAddressCountsUntilTheNodeComesFromElsewhere(t *testing.T) {
	a := newAtlas()
	a.exists("edge", []netip.Addr{home})
	a.pass(24 * time.Hour)
	a.want(t, home)
	a.links["edge"] = []netip.Addr{away}
	a.pass(time.Second)
	a.pass(roamGrace)
	a.want(t, away)
}

func TestDeletedNodeIsForgottenAlthoughItIsConnected(t *testing.T) {
	a := newAtlas()
	a.links["edge"] = []netip.Addr{home}
	a.exists("edge", nil)
	a.gone("edge")
	a.want(t)
	if a.look("edge") || a.pass(time.Second) {
		t.Error("a link without a node is a change")
	}
	a.want(t)
}

func TestReplacedMachineIsForgottenAndTheNextOneCounts(t *testing.T) {
	a := newAtlas()
	a.links["edge"] = []netip.Addr{home}
	a.exists("edge", nil)
	a.replaced("edge")
	a.want(t)
	if a.look("edge") || a.pass(time.Second) {
		t.Error("a link that is about to be closed is a change")
	}
	a.want(t)
	a.links["edge"] = nil
	a.exists("edge", []netip.Addr{home}) // what the object says is older
	a.want(t)
	a.wantRemembered(t)
	a.admit("edge", away, a.time)
	a.exists("edge", []netip.Addr{home})
	a.want(t, away)
	a.links["edge"] = []netip.Addr{away}
	a.pass(time.Second)
	a.want(t, away)
}

func TestNodeWithSeveralWaysOutHasAll(t *testing.T) {
	a := newAtlas()
	a.links["edge"] = []netip.Addr{home, away}
	a.exists("edge", nil)
	a.pass(time.Hour)
	a.want(t, home, away)
	a.wantRemembered(t, home, away)
}

func TestJoinOfBeforeTheStartCountsWhileItIsFresh(t *testing.T) {
	a := newAtlas()
	a.admit("edge", home, a.time.Add(-joinGrace))
	a.want(t)
	a.admit("edge", home, a.time.Add(-joinGrace/2))
	a.want(t, home)
	a.pass(joinGrace / 2)
	a.want(t)
}
