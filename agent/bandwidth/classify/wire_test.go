//go:build namespace

package classify

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/agent/bandwidth/plan"
	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/nethost"
)

// throw sends frames as they are from a link of a host.
func throw(t *testing.T, h *nethost.Host, link int, frames ...[]byte) {
	t.Helper()
	h.Do(func() {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer unix.Close(fd)
		for _, f := range frames {
			if err := unix.Sendto(fd, f, 0, &unix.SockaddrLinklayer{Ifindex: link}); err != nil {
				t.Errorf("% x: %v", f, err)
			}
		}
	})
}

func TestFramesThatAreCutOffOnTheWire(t *testing.T) {
	s := newSite(t, abilities(t))
	s.forget()
	frames := [][]byte{
		frame(eth4, []byte{0x45}), frame(eth4, ip4(tcp, far, 0, 0)[:19]), frame(eth4, ip4(tcp, far, 0, 0)), frame(eth6, ip6(tcp)[:39]),
		frame(eth4, ip4(tcp, far, 0, 0), ports(1, 53)[:3]),
		frame(0x8100, []byte{0, 5, 0x81, 0, 0, 6, 8, 0}, ip4(tcp, far, 0, 0), ports(1, 53)),
	}
	throw(t, s.one, s.indexOf(s.one, "eth0"), frames...)
	throw(t, s.outside, s.indexOf(s.outside, "eth0"), frames...)
	throw(t, s.Host, s.uplink.Index, frames...)
	testx.Eventually(t, within, "all frames have come", func(context.Context) error {
		if n := recorded(t, s.records["pod1 pod egress"])[pod1]; n < uint64(len(frames)) {
			return errors.New("not yet")
		}
		return nil
	})
	s.want("cut off", map[string][]uint16{"pod1 pod egress": {pod1}, "up0 host egress": {plan.MinorHost}, "up0 host ingress": {plan.MinorHost}})
}

func TestATaggedFrameIsReadBehindTheTag(t *testing.T) {
	s := newSite(t, abilities(t))
	s.forget()
	tagged := frame(0x8100, []byte{0, 5, 8, 0}, ip4(tcp, near, 0, 0), ports(1, 53))
	throw(t, s.one, s.indexOf(s.one, "eth0"), tagged)
	testx.Eventually(t, within, "the frame has come", func(context.Context) error {
		if recorded(t, s.records["pod1 pod egress"])[pod1Local] == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	s.want("tagged", map[string][]uint16{"pod1 pod egress": {pod1Local}})
}

func TestHeadersBeyondTheLinearPartAreRead(t *testing.T) {
	s := newSite(t, abilities(t))
	s.one.Run("ip link set eth0 mtu 60000")
	s.Run("ip link set pod1 mtu 60000")
	s.forget()
	// More than a page: the sender's kernel puts all but the first bytes in pages.
	throw(t, s.one, s.indexOf(s.one, "eth0"), frame(eth4, ip4(tcp, near, 0, 0), ports(80, 1), bytes.Repeat([]byte{1}, 50_000)))
	testx.Eventually(t, within, "the frame has come", func(context.Context) error {
		if recorded(t, s.records["pod1 pod egress"])[pod1Local] == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	s.want("a frame in pages", map[string][]uint16{"pod1 pod egress": {pod1Local}})
}
