package uplink

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// rtmgrpIPv6Route is RTMGRP_IPV6_ROUTE of rtnetlink(7).
const rtmgrpIPv6Route = 1 << (unix.RTNLGRP_IPV6_ROUTE - 1)

// watchLinks calls changed when a link other than a pod's or a default route
// appears, goes or changes, in the network namespace of the calling thread. The
// result ends it.
func watchLinks(changed func()) (stop func(), err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("watch links and routes: %w", err)
	}
	socket := os.NewFile(uintptr(fd), "rtnetlink") // non-blocking, so that Close ends a read
	groups := uint32(unix.RTMGRP_LINK | unix.RTMGRP_IPV4_ROUTE | rtmgrpIPv6Route)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		_ = socket.Close()
		return nil, fmt.Errorf("watch links and routes: %w", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 64<<10) // larger than any message of the kernel
		for {
			n, err := socket.Read(buf)
			switch {
			case errors.Is(err, unix.ENOBUFS):
				changed() // events were lost
			case err != nil:
				return
			case matters(buf[:n]):
				changed()
			}
		}
	}()
	return func() {
		_ = socket.Close()
		<-done
	}, nil
}

// matters leaves out the links of pods and kedge's own, and routes that are not
// the default one: they come and go all the time.
func matters(datagram []byte) bool {
	msgs, err := syscall.ParseNetlinkMessage(datagram)
	if err != nil {
		return true
	}
	for _, m := range msgs {
		switch m.Header.Type {
		case unix.RTM_NEWLINK, unix.RTM_DELLINK:
			link, err := netlink.LinkDeserialize(nil, m.Data)
			if err != nil || !passing(link.Attrs().Name) {
				return true
			}
		case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
			// The second byte of struct rtmsg is the length of the destination.
			if len(m.Data) < unix.SizeofRtMsg || m.Data[1] == 0 {
				return true
			}
		}
	}
	return false
}

func passing(name string) bool {
	return strings.HasPrefix(name, "veth") || strings.HasPrefix(name, "kedge-")
}
