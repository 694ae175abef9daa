package spoke

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/kedge-io/kedge/tunnel"
)

func TestAddressThatIsGoneIsNoticed(t *testing.T) {
	_, n, _ := net.ParseCIDR("10.1.2.3/24")
	n.IP = net.IPv4(10, 1, 2, 3)
	have := func() ([]net.Addr, error) { return []net.Addr{n}, nil }
	unknown := func() ([]net.Addr, error) { return nil, errors.New("no netlink") }
	for _, c := range []struct {
		ip   net.IP
		list func() ([]net.Addr, error)
		want bool
	}{
		{net.IPv4(10, 1, 2, 3), have, true},
		{net.IPv4(10, 1, 2, 4), have, false},
		{net.IPv4(127, 0, 0, 9), have, true},
		{net.IPv4(10, 1, 2, 4), unknown, true},
	} {
		if got := hostHas(c.ip, c.list); got != c.want {
			t.Errorf("%v: %v", c.ip, got)
		}
	}
}

func TestServerThatIsBusySaysWhenToComeAgain(t *testing.T) {
	most := func(d time.Duration) time.Duration { return d }
	least := func(time.Duration) time.Duration { return 0 }
	busy := &tunnel.RefusedError{Kind: tunnel.RefusedOverload, RetryAfter: 2 * time.Second}
	if got := pause(0, busy, least); got != 2*time.Second {
		t.Errorf("waits %v at least", got)
	}
	if got := pause(0, busy, most); got != 4*time.Second {
		t.Errorf("waits %v at most", got)
	}
	if got := pause(0, errors.New("reset"), most); got != 0 {
		t.Errorf("waits %v after a loss", got)
	}
}
