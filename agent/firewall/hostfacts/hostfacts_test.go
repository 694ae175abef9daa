package hostfacts

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// host writes files below a root of its own.
func host(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestResolversBehindTheForwarderCount(t *testing.T) {
	root := host(t, map[string]string{
		"etc/resolv.conf":                   "# by resolved\nnameserver 127.0.0.53\noptions edns0\n",
		"run/systemd/resolve/resolv.conf":   "nameserver 192.0.2.53\nnameserver fe80::1%eth0\nnameserver nonsense\n",
		"run/dnsmasq/resolv.conf":           "nameserver 192.0.2.53\n",
		"run/NetworkManager/resolv.conf":    "nameserver ::1\n",
		"var/elsewhere/of-the-cluster.conf": "nameserver 198.51.100.1",
	})
	if got := fmt.Sprint(Resolvers(root, "")); got != "[192.0.2.53 fe80::1]" {
		t.Errorf("resolvers are %s", got)
	}
	if got := fmt.Sprint(Resolvers(root, "/var/elsewhere/of-the-cluster.conf")); got != "[192.0.2.53 198.51.100.1 fe80::1]" {
		t.Errorf("with a file that a person named, resolvers are %s", got)
	}
	if got := Resolvers(t.TempDir(), ""); len(got) != 0 {
		t.Errorf("a host without any file has resolvers %v", got)
	}
}

func TestTimeServersOfEveryDaemonCount(t *testing.T) {
	root := host(t, map[string]string{
		"etc/systemd/timesyncd.conf":            "[Time]\nNTP=a.example 192.0.2.1\n#FallbackNTP=commented.example\n",
		"etc/systemd/timesyncd.conf.d/own.conf": "[Time]\nFallbackNTP = b.example\n",
		"etc/chrony/chrony.conf":                "pool c.example iburst\nmakestep 1 3\n# server no.example\n",
		"etc/chrony/sources.d/dhcp.sources":     "server 192.0.2.2\n",
		"etc/ntp.conf":                          "server -4 d.example\npeer e.example\nserver -6\n",
		"etc/openntpd/ntpd.conf":                "servers f.example\n",
	})
	if got := strings.Join(TimeServers(root), " "); got != "192.0.2.1 192.0.2.2 a.example b.example c.example d.example e.example f.example" {
		t.Errorf("time servers are %s", got)
	}
}

func TestAddressesOfPoolsAddUpForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := host(t, map[string]string{"etc/chrony.conf": "pool pool.example\nserver 192.0.2.9\n"})
		n := byte(0)
		fail := false
		c := NewClock(root, func(context.Context, string) ([]netip.Addr, error) {
			n++
			if fail {
				return nil, errors.New("no answer")
			}
			return []netip.Addr{netip.AddrFrom4([4]byte{198, 51, 100, n}), netip.MustParseAddr("127.0.0.1")}, nil
		}, []netip.Addr{netip.MustParseAddr("203.0.113.1")})
		c.Look(t.Context())
		<-time.After(time.Hour)
		c.Look(t.Context())
		if got := fmt.Sprint(c.Addrs()); got != "[192.0.2.9 198.51.100.1 198.51.100.2 203.0.113.1]" {
			t.Errorf("addresses are %s", got)
		}
		fail = true
		<-time.After(keepFor - time.Hour)
		c.Look(t.Context())
		if got := fmt.Sprint(c.Addrs()); got != "[192.0.2.9 198.51.100.2]" {
			t.Errorf("a day later, addresses are %s", got)
		}
	})
}

func TestFailsafeEntries(t *testing.T) {
	for entry, want := range map[string]string{
		"192.0.2.7":           "192.0.2.7/32 22",
		"192.0.2.7/24=2222":   "192.0.2.0/24 2222",
		"2001:db8::/32":       "2001:db8::/32 22",
		"0.0.0.0/0=22":        "0.0.0.0/0 22",
		"":                    "error",
		"example.org":         "error",
		"192.0.2.0/33":        "error",
		"192.0.2.0/24=":       "error",
		"192.0.2.0/24=0":      "error",
		"192.0.2.0/24=ssh":    "error",
		"fe80::1%eth0":        "error",
		"::ffff:192.0.2.1/96": "error",
	} {
		f, err := ParseFailsafe(entry)
		got := fmt.Sprint(f.From, " ", f.Port)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%q is %s (%v), want %s", entry, got, err, want)
		}
	}
}

func TestTheClockForgetsTheOldestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewClock(t.TempDir(), nil, []netip.Addr{netip.MustParseAddr("192.0.2.1")})
		<-time.After(time.Second)
		var many []netip.Addr
		for i := range maxTimeAddrs {
			many = append(many, netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}))
		}
		c.note(many)
		if got := c.Addrs(); len(got) != maxTimeAddrs || slices.Contains(got, netip.MustParseAddr("192.0.2.1")) {
			t.Errorf("%d addresses, the oldest among them: %v", len(got), slices.Contains(got, netip.MustParseAddr("192.0.2.1")))
		}
	})
}
