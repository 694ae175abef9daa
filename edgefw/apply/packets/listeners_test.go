//go:build namespace

package packets

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"

	"github.com/kedge-io/kedge/tests/nethost"
)

// Ports on which somebody answers. Those of the host stand for processes and for
// pods in its network.
var (
	hostTCP    = []int{22, 53, 80, 443, 2379, 6443, 8000, 8005, 8010, 8011, 9100}
	hostUDP    = []int{53, 80, 8000, 8005, 546}
	outsideTCP = []int{22, 53, 80, 443, 6443, 8443}
	outsideUDP = []int{53, 123, 80, 8000}
)

func (s *site) listen() {
	var addrs []netip.Addr
	for who := range outsiders {
		addrs = append(addrs, both(who)...)
	}
	s.serve(s.outside, "outside", outsideTCP, outsideUDP, addrs)
	addrs = nil
	for _, name := range []string{"host", "loopback", "gateway", "dns", "api", "bridge"} {
		for _, family := range []int{4, 6} {
			if a, ok := address(name, family); ok {
				addrs = append(addrs, a)
			}
		}
	}
	s.serve(s.node, "host", hostTCP, hostUDP, addrs)
	s.serve(s.pod, "pod", []int{8080}, []int{5353}, []netip.Addr{netip.MustParseAddr("10.42.0.2")})
	s.serve(s.docker, "docker", []int{80}, []int{53}, []netip.Addr{netip.MustParseAddr("172.17.0.2"), netip.MustParseAddr("fd00:17::2")})
}

// serve answers by name: TCP at all addresses, UDP at each of those given, from
// which the answers come. After the name, each line or datagram is sent back.
func (s *site) serve(h *nethost.Host, name string, tcp, udp []int, addrs []netip.Addr) {
	h.Do(func() {
		for _, port := range tcp {
			l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
			if err != nil {
				s.t.Error(err)
				return
			}
			s.t.Cleanup(func() { l.Close() })
			go accept(l, name)
		}
		for _, addr := range addrs {
			for _, port := range udp {
				c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, uint16(port))))
				if err != nil {
					s.t.Error(err)
					return
				}
				s.t.Cleanup(func() { c.Close() })
				go answer(c, name)
			}
		}
	})
	if s.t.Failed() {
		s.t.FailNow()
	}
}

func accept(l net.Listener, name string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			fmt.Fprintln(c, name)
			for lines := bufio.NewScanner(c); lines.Scan(); {
				fmt.Fprintln(c, lines.Text())
			}
		}()
	}
}

func answer(c *net.UDPConn, name string) {
	buf := make([]byte, 1500)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		_, _ = c.WriteToUDPAddrPort([]byte(name+" "+string(buf[:n])), from)
	}
}
