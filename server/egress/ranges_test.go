package egress

import (
	"context"
	"maps"
	"net/netip"
	"testing"
	"time"

	"github.com/kedge-io/kedge/tunnel"
)

func TestRangesFollowTheNodes(t *testing.T) {
	e := wired(t, object("edge", "10.42.1.0/24", "10.42.1.1"), object("thief", "10.42.1.0/24", "10.42.1.1"),
		object("outside", "10.50.1.0/24", ""), object("new", "", ""))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	want := map[netip.Prefix]tunnel.NodeName{netip.MustParsePrefix("10.42.1.0/24"): "edge"}
	ranges, changed, err := e.Ranges(ctx)
	if err != nil || !maps.Equal(ranges, want) {
		t.Fatalf("%v, %v", ranges, err)
	}
	e.table.Set(Node{Name: "new", PodRanges: []netip.Prefix{netip.MustParsePrefix("10.42.7.0/24")}})
	select {
	case <-changed:
	case <-ctx.Done():
		t.Fatal("no change was told")
	}
	e.table.Delete("edge")
	ranges, _, _ = e.Ranges(ctx)
	want = map[netip.Prefix]tunnel.NodeName{
		netip.MustParsePrefix("10.42.1.0/24"): "thief", netip.MustParsePrefix("10.42.7.0/24"): "new",
	}
	if !maps.Equal(ranges, want) {
		t.Errorf("%v", ranges)
	}
}
