package network

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
)

func TestRangeFollowsTheStateOnDisk(t *testing.T) {
	dir := t.TempDir()
	r := NewRange(dir)
	if got := r.PodCIDR(); got.IsValid() {
		t.Errorf("without a file: %s", got)
	}
	for _, want := range []string{"10.42.1.0/24", "10.42.31.0/24"} {
		n := &Network{cfg: Config{StateDir: dir}}
		n.save(known{PodCIDR: netip.MustParsePrefix(want)})
		if got := r.PodCIDR(); got.String() != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if err := os.Remove(filepath.Join(dir, "network.json")); err != nil {
		t.Fatal(err)
	}
	if got := r.PodCIDR(); !got.IsValid() {
		t.Error("the range was forgotten with the file")
	}
}
