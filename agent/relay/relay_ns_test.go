//go:build namespace

package relay

import (
	"strings"
	"testing"
)

func TestPodsOfTwoNodesPingEachOther(t *testing.T) {
	_, nodes := site(t, 2)
	a, b := nodes[0], nodes[1]
	for _, size := range []string{"0", "56", "1372", "65000"} {
		if out := a.pod.run("ping -c 2 -i 0.01 -W 5 -s " + size + " " + b.addr()); !strings.Contains(out, " 0% packet loss") {
			t.Errorf("%s bytes: %s", size, out)
		}
	}
	out := a.run("ping -c 1 -W 5 " + b.addr() + "; ip route get " + b.addr() + "; ip -d link show kedge-relay; cat /proc/sys/net/ipv4/conf/kedge-relay/rp_filter")
	t.Log(out)
}
