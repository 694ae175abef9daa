package quiet

import (
	"net/netip"
	"testing"
	"time"
)

func TestFloodOfKeysDoesNotGrowMemoryOrLog(t *testing.T) {
	now := time.Unix(0, 0)
	q := New(func() time.Time { return now })
	let := 0
	for i := range 3 * Size {
		if q.First(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).String()) {
			let++
		}
	}
	if let != Size || len(q.seen) != Size {
		t.Fatal(let, len(q.seen))
	}
	now = now.Add(2 * For)
	if !q.First("again") || len(q.seen) != 1 {
		t.Fatal("old addresses were kept", len(q.seen))
	}
}
