//go:build namespace

package conntrack

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/kedge-io/kedge/tests/nethost"
)

// router is a host with the table of its flows, between a client and a server:
// the client is 192.0.2.2 and 2001:db8:1::2, the server 198.51.100.2 and
// 2001:db8:2::2.
type router struct {
	*nethost.Host
	client, server *nethost.Host
	table          *Table
}

func newRouter(t *testing.T) *router {
	t.Helper()
	r := &router{Host: nethost.New(t), client: nethost.New(t), server: nethost.New(t)}
	for _, h := range []*nethost.Host{r.Host, r.client, r.server} {
		h.Run("echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad") // addresses are good at once
	}
	nethost.Cable(r.client, "eth0", r.Host, "in")
	nethost.Cable(r.server, "eth0", r.Host, "out")
	r.client.Run("ip addr add 192.0.2.2/24 dev eth0; ip addr add 2001:db8:1::2/64 dev eth0 nodad; ip route add default via 192.0.2.1; ip -6 route add default via 2001:db8:1::1")
	r.server.Run("ip addr add 198.51.100.2/24 dev eth0; ip addr add 2001:db8:2::2/64 dev eth0 nodad; ip route add default via 198.51.100.1; ip -6 route add default via 2001:db8:2::1")
	r.Run(`ip addr add 192.0.2.1/24 dev in; ip addr add 2001:db8:1::1/64 dev in nodad
		ip addr add 198.51.100.1/24 dev out; ip addr add 2001:db8:2::1/64 dev out nodad
		echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding`)
	// Flows are followed as soon as a rule asks for their state; a node port leads to
	// the server.
	r.Run(`nft -f - <<END
		table inet t {
			chain forward { type filter hook forward priority 0; ct state invalid drop; }
			chain pre {
				type nat hook prerouting priority dstnat;
				ip daddr 192.0.2.1 tcp dport 30080 dnat to 198.51.100.2:80
				ip6 daddr 2001:db8:1::1 tcp dport 30080 dnat to [2001:db8:2::2]:80
			}
			chain marking { type filter hook forward priority 1; tcp dport 80 ct mark set 0x6b650000; }
		}
END`)
	r.Do(func() {
		var err error
		if r.table, err = Open(); err != nil {
			t.Error(err)
		}
	})
	if r.table == nil {
		t.FailNow()
	}
	t.Cleanup(func() { r.table.Close() })
	return r
}

// find returns the flow from the client to an address, as it was begun.
func (r *router) find(protocol uint8, to netip.AddrPort) (Flow, bool) {
	r.T.Helper()
	flows, err := r.table.Flows()
	if err != nil {
		r.T.Fatal(err)
	}
	for _, f := range flows {
		if f.Protocol == protocol && f.To == to && f.From.Addr() != f.To.Addr() {
			return f, true
		}
	}
	return Flow{}, false
}

// connect opens a TCP connection from the client to what listens at the server.
func (r *router) connect(listen, dial string) net.Conn {
	r.T.Helper()
	r.server.Do(func() {
		l, err := net.Listen("tcp", listen)
		if err != nil {
			r.T.Error(err)
			return
		}
		r.T.Cleanup(func() { l.Close() })
		go func() {
			if c, err := l.Accept(); err == nil {
				_, _ = io.Copy(c, c)
				c.Close()
			}
		}()
	})
	var conn net.Conn
	r.client.Do(func() {
		var err error
		if conn, err = net.DialTimeout("tcp", dial, 10*time.Second); err != nil {
			r.T.Error(err)
		}
	})
	if conn == nil {
		r.T.FailNow()
	}
	r.T.Cleanup(func() { conn.Close() })
	return conn
}

func TestFlowsAreToldAsTheClientBeganThem(t *testing.T) {
	for _, c := range []struct{ listen, dial, peer string }{
		{"198.51.100.2:80", "198.51.100.2:80", "198.51.100.2:80"},
		{"198.51.100.2:80", "192.0.2.1:30080", "198.51.100.2:80"},
		{"[2001:db8:2::2]:80", "[2001:db8:2::2]:80", "[2001:db8:2::2]:80"},
		{"[2001:db8:2::2]:80", "[2001:db8:1::1]:30080", "[2001:db8:2::2]:80"},
	} {
		t.Run(c.dial, func(t *testing.T) {
			r := newRouter(t)
			conn := r.connect(c.listen, c.dial)
			f, ok := r.find(6, netip.MustParseAddrPort(c.dial))
			if !ok {
				t.Fatal("the flow is not told")
			}
			if f.From.String() != conn.LocalAddr().String() || f.Peer.String() != c.peer || f.Seen != f.From ||
				!f.Answered || f.Mark != 0x6b650000 || f.TranslatedTarget != (c.dial != c.peer) {
				t.Errorf("got %+v", f)
			}
		})
	}
}

func TestICMPAndUDPAreTold(t *testing.T) {
	r := newRouter(t)
	r.client.Run("ping -c 1 -W 5 198.51.100.2; ping -c 1 -W 5 2001:db8:2::2")
	for to, want := range map[string][2]uint8{"198.51.100.2": {1, 8}, "2001:db8:2::2": {58, 128}} {
		f, ok := r.find(want[0], netip.AddrPortFrom(netip.MustParseAddr(to), 0))
		if !ok || f.ICMPType != want[1] || f.From.Port() != 0 || !f.Answered {
			t.Errorf("ping to %s: got %+v, %v", to, f, ok)
		}
	}
	r.client.Do(func() {
		c, err := net.Dial("udp", "198.51.100.2:5353")
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, _ = c.Write([]byte("x"))
	})
	if f, ok := r.find(17, netip.MustParseAddrPort("198.51.100.2:5353")); !ok || f.From.Port() == 0 {
		t.Errorf("UDP: got %+v, %v", f, ok)
	}
}

func TestDeleteEndsOneFlowOnly(t *testing.T) {
	r := newRouter(t)
	kept, cut := r.connect("198.51.100.2:80", "198.51.100.2:80"), r.connect("198.51.100.2:81", "198.51.100.2:81")
	f, ok := r.find(6, netip.MustParseAddrPort("198.51.100.2:81"))
	if !ok {
		t.Fatal("the flow is not told")
	}
	// What begins in the middle is dropped from now on, as by rules that do not let
	// the flow begin.
	r.Run(`nft add rule inet t forward tcp dport 81 ct state new drop`)
	if err := r.table.Delete(f); err != nil {
		t.Fatal(err)
	}
	if err := r.table.Delete(f); !errors.Is(err, ErrGone) {
		t.Errorf("a second time: got %v, want ErrGone", err)
	}
	if !answers(kept) {
		t.Error("the other flow ended, too")
	}
	if answers(cut) {
		t.Error("the flow goes on")
	}
}

// answers tells whether an echo still comes back.
func answers(c net.Conn) bool {
	_ = c.SetDeadline(time.Now().Add(300 * time.Millisecond))
	if _, err := c.Write([]byte("x")); err != nil {
		return false
	}
	_, err := c.Read(make([]byte, 1))
	return err == nil
}

func TestDeleteSparesANewerFlowOfTheSameName(t *testing.T) {
	r := newRouter(t)
	r.connect("198.51.100.2:80", "198.51.100.2:80")
	f, _ := r.find(6, netip.MustParseAddrPort("198.51.100.2:80"))
	f.id[0] ^= 0xff // as that of a flow before it
	if err := r.table.Delete(f); !errors.Is(err, ErrGone) {
		t.Errorf("got %v, want ErrGone", err)
	}
	if _, ok := r.find(6, netip.MustParseAddrPort("198.51.100.2:80")); !ok {
		t.Error("the newer flow was deleted")
	}
}
