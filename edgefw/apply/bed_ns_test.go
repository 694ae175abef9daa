//go:build namespace

package apply_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/edgefw/apply/ipset"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/tests/nethost"
)

// The addresses of the node and of two machines beside it.
const (
	node4, friend4, stranger4 = "192.0.2.1", "192.0.2.2", "192.0.2.3"
	node6, friend6, stranger6 = "2001:db8::1", "2001:db8::2", "2001:db8::3"
)

// bed is a node, which is the namespace of the process, and a machine beside it
// that has the addresses of a friend and of a stranger.
type bed struct {
	t      *testing.T
	node   *nethost.Host
	beside *nethost.Host
	kernel *apply.Kernel
	which  apply.Variant
	sets   *ipset.Handle
}

func (b *bed) variant() apply.Variant { return b.which }

// each runs a test with both variants of iptables.
func each(t *testing.T, test func(t *testing.T, b *bed)) {
	for _, v := range []apply.Variant{apply.Legacy, apply.NFT} {
		t.Run(string(v), func(t *testing.T) { test(t, newBed(t, v)) })
	}
}

func newBed(t *testing.T, v apply.Variant) *bed {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("missing: root, to make network namespaces")
	}
	own, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{t: t, node: &nethost.Host{T: t, NS: own}, beside: nethost.New(t)}
	t.Cleanup(func() { _ = own.Close() })
	b.node.Run("ip link set lo up")
	nethost.Cable(b.node, "eth0", b.beside, "eth0")
	t.Cleanup(func() { b.node.Run("ip link del eth0") })
	b.node.Run("ip addr add " + node4 + "/24 dev eth0; ip addr add " + node6 + "/64 dev eth0 nodad")
	for _, a := range []string{friend4 + "/24", stranger4 + "/24"} {
		b.beside.Run("ip addr add " + a + " dev eth0")
	}
	for _, a := range []string{friend6 + "/64", stranger6 + "/64"} {
		b.beside.Run("ip addr add " + a + " dev eth0 nodad")
	}
	b.which = v
	if b.sets, err = ipset.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.sets.Close() })
	b.kernel = b.open(v)
	t.Cleanup(func() {
		if err := apply.RemoveAll(context.Background()); err != nil {
			t.Error(err)
		}
		b.node.Run("conntrack -F 2>/dev/null || true")
	})
	return b
}

func (b *bed) open(v apply.Variant) *apply.Kernel {
	b.t.Helper()
	k, err := apply.New(apply.Config{Variant: v, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = k.Close() })
	return k
}

func (b *bed) apply(w apply.Wish) apply.Result {
	b.t.Helper()
	result, err := b.kernel.Apply(context.Background(), w)
	if err != nil {
		b.t.Fatal(err)
	}
	return result
}

// answer accepts connections to a port of the node and closes them.
func (b *bed) answer(port string) {
	b.t.Helper()
	b.node.Do(func() {
		l, err := net.Listen("tcp", ":"+port)
		if err != nil {
			b.t.Error(err)
			return
		}
		b.t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_ = c.Close()
			}
		}()
	})
}

// reaches is "open", "refused" or "silent".
func (b *bed) reaches(from, to, port string) (outcome string) {
	b.t.Helper()
	b.beside.Do(func() { outcome = dial(from, to, port) })
	return outcome
}

func dial(from, to, port string) string {
	// A lost packet would be sent again after a second.
	d := net.Dialer{Timeout: 400 * time.Millisecond, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.Dial("tcp", net.JoinHostPort(to, port))
	switch {
	case err == nil:
		_ = c.Close()
		return "open"
	case strings.Contains(err.Error(), "refused"):
		return "refused"
	case os.IsTimeout(err):
		return "silent"
	}
	return err.Error()
}

func (b *bed) expect(from, to, port, outcome string) {
	b.t.Helper()
	if got := b.reaches(from, to, port); got != outcome {
		b.t.Errorf("%s -> %s:%s is %s, want %s\n%s", from, to, port, got, outcome, b.rules())
	}
}

func (b *bed) rules() string {
	out, _ := b.node.Try("iptables-legacy-save -c; iptables-nft-save -c; ipset list")
	return out
}

// friends may reach port 80, nobody anything else.
func friends(entries ...string) apply.Wish {
	return apply.Wish{
		Ruleset: &model.Ruleset{
			Host: model.HostRules{Ingress: model.Chain{
				Rules:   []model.HostRule{{ID: "office/ingress/web", Action: model.Allow, Protocol: model.TCP, Ports: []model.PortRange{model.Port(80)}, Peers: []model.SetID{"set/friends"}}},
				Default: model.Deny, DefaultFrom: "office",
			}},
			Sets: map[model.SetID]model.Set{"set/friends": {Prefixes: prefixes(entries...)}},
		},
	}
}
