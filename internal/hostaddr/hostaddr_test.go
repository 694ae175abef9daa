package hostaddr

import (
	"net/netip"
	"slices"
	"testing"
)

func TestTheRouteToLoopbackStartsThere(t *testing.T) {
	got, err := Towards("127.0.0.1:9")
	if err != nil || !got.IsLoopback() {
		t.Fatalf("got %v, %v", got, err)
	}
}

func TestDefaultIsAnAddressOfThisHost(t *testing.T) {
	all, err := All()
	if err != nil || !slices.Contains(all, netip.MustParseAddr("127.0.0.1")) {
		t.Fatalf("addresses %v, %v", all, err)
	}
	got, err := Default()
	if err != nil {
		t.Fatalf("this host has no address: %v", err)
	}
	if got.IsLoopback() || !slices.Contains(all, got) {
		t.Fatalf("%v is not among %v", got, all)
	}
}
