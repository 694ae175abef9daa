//go:build namespace

package apilb

import (
	"context"
	"errors"
	"flag"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/kedge-io/kedge/internal/testx"
)

var inNamespace = flag.Bool("in-namespace", false, "the test runs in a network namespace of its own")

// TestMain runs the tests again in a network namespace, where lo is theirs.
func TestMain(m *testing.M) {
	flag.Parse()
	if *inNamespace || os.Geteuid() != 0 {
		goleak.VerifyTestMain(m)
		return
	}
	cmd := exec.Command("sh", append([]string{"-ec", `mount --make-rprivate /; ip link set lo up; exec "$@"`, "sh", os.Args[0], "-in-namespace"}, os.Args[1:]...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	if err := cmd.Run(); err != nil {
		os.Exit(1)
	}
}

func run(t *testing.T, command string) string {
	t.Helper()
	out, err := exec.Command("sh", "-ec", command).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", command, err, out)
	}
	return string(out)
}

// likeKubeProxy leads the service to a server's address that nobody has, as
// on a node behind NAT, and rejects other addresses of the range.
const likeKubeProxy = `
table ip kube-proxy {
	chain services { ip daddr 10.43.0.1 tcp dport 443 dnat to 192.0.2.1:6443; }
	chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }
	chain nat-output { type nat hook output priority -100; jump services; }
	chain cluster-ips-check { ip daddr 10.43.0.0/16 reject; }
	chain filter-input { type filter hook input priority -110; ct state new jump cluster-ips-check; }
	chain filter-output { type filter hook output priority -110; ct state new jump cluster-ips-check; }
}
`

// podsAndHost makes a pod behind a bridge, as the pod network does.
func podsAndHost(t *testing.T) {
	t.Helper()
	if !*inNamespace {
		testx.Missing(t, "root, to make a network namespace")
	}
	run(t, `
		mount -t tmpfs none /run
		ip netns add pod
		ip link add br0 type bridge; ip addr add 10.42.0.1/24 dev br0; ip link set br0 up
		ip link add veth0 type veth peer name eth0 netns pod; ip link set veth0 master br0 up
		ip -n pod addr add 10.42.0.2/24 dev eth0; ip -n pod link set eth0 up; ip -n pod link set lo up
		ip -n pod route add default via 10.42.0.1
		ip netns add lan
		ip link add up0 type veth peer name eth0 netns lan; ip addr add 192.168.1.1/24 dev up0; ip link set up0 up
		ip -n lan addr add 192.168.1.2/24 dev eth0; ip -n lan link set eth0 up; ip -n lan route add 10.43.0.0/16 via 192.168.1.1
		echo 1 > /proc/sys/net/ipv4/ip_forward`)
	rules := strings.ReplaceAll(strings.ReplaceAll(likeKubeProxy, "; ", ";\n"), "{ ", "{\n")
	run(t, "nft -f - <<'X'\n"+rules+"\nX")
	t.Cleanup(func() {
		if err := RemoveAll(context.Background()); err != nil {
			t.Error(err)
		}
		run(t, "ip netns del pod; ip netns del lan; ip link del br0; nft flush ruleset; umount -l /run")
	})
}

func TestPodsAndHostReachTheAPIByItsService(t *testing.T) {
	podsAndHost(t)
	testx.NeedPrograms(t, "python3")
	addr := listen(t, func(c net.Conn) {
		_, _ = io.Copy(c, c)
		_ = c.Close()
	})
	n := startNode(t, nil, Config{Server: addr, Dialer: &plain{}, Service: netip.MustParseAddr("10.43.0.1"), PodLink: "br0"})
	testx.Eventually(t, within, "the rules are in place", func(context.Context) error {
		if !strings.Contains(run(t, "nft list ruleset"), "answers of the API, rewritten") {
			return errors.New("not yet")
		}
		return nil
	})
	// 300 kB in large segments: checksums and offloads must survive the rewriting.
	const ask = `python3 -c "
import socket
s = socket.create_connection(('10.43.0.1', 443), 10)
peer = s.getpeername()
data = b'x' * 300000
import threading
threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR))).start()
got = b''
while True:
    part = s.recv(65536)
    if not part: break
    got += part
assert got == data, len(got)
print(peer)
"`
	for who, in := range map[string]string{"a pod": "ip netns exec pod ", "the host": ""} {
		if out := run(t, in+ask); !strings.Contains(out, "443") {
			t.Errorf("%s: %s", who, out)
		}
	}
	if out, err := exec.Command("sh", "-c", "ip netns exec lan timeout 3 "+ask).CombinedOutput(); err == nil {
		t.Errorf("a neighbour reaches the service: %s", out)
	}
	// Without the rules kube-proxy's win, or the test would prove nothing.
	run(t, "nft delete table inet kedge-api; nft insert rule ip kube-proxy filter-output ip daddr 192.0.2.1 reject")
	if out, err := exec.Command("sh", "-c", ask).CombinedOutput(); err == nil {
		t.Errorf("the emulated chains do not touch the service: %s", out)
	}
	// Port 443 of the host is free for others, on every address.
	l, err := net.Listen("tcp", ":443")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if out := run(t, "ss -Hltn 'sport = :6444'"); !strings.Contains(out, "10.43.0.1") {
		t.Error(out)
	}
	n.cancel()
}

func TestServiceAddressIsRepairedAndRemoved(t *testing.T) {
	podsAndHost(t)
	const look = "nft -s list ruleset; ip -4 -o addr show dev lo | sed 's/valid_lft.*//'"
	before := run(t, look)
	cfg := Config{Service: netip.MustParseAddr("10.43.0.1")}
	keeper := cfg.claim()
	var good string
	for _, breakage := range []string{"true", "nft delete table inet kedge-api", "ip addr del 10.43.0.1/32 dev lo", "nft flush chain inet kedge-api output"} {
		if err := keeper.Ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
		if good == "" {
			good = run(t, look)
		}
		run(t, breakage)
		if err := keeper.Ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := run(t, look); got != good {
			t.Errorf("after %q:\n%s\nwant\n%s", breakage, got, good)
		}
	}
	again := cfg.claim() // a later start
	if err := again.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := RemoveAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := run(t, look); got != before {
			t.Errorf("after removal:\n%s\nwant\n%s", got, before)
		}
	}
}
