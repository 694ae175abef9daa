package network

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// watchHost calls changed when a link other than a pod's appears, goes or
// changes, and when an address does, in the network namespace of the calling
// thread. The result ends it.
func watchHost(changed func()) (stop func(), err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("watching the host's links: %w", err)
	}
	// Non-blocking, so that the file's Close ends a read.
	socket := os.NewFile(uintptr(fd), "rtnetlink")
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR}); err != nil {
		_ = socket.Close()
		return nil, fmt.Errorf("watching the host's links: %w", err)
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

// matters leaves out the links of pods, which come and go all the time, and the
// changes of the bridge that follow from them.
func matters(datagram []byte) bool {
	msgs, err := syscall.ParseNetlinkMessage(datagram)
	if err != nil {
		return true
	}
	for _, m := range msgs {
		if m.Header.Type != unix.RTM_NEWLINK && m.Header.Type != unix.RTM_DELLINK {
			return true
		}
		link, err := netlink.LinkDeserialize(nil, m.Data)
		if err != nil {
			return true
		}
		name := link.Attrs().Name
		pods := strings.HasPrefix(name, "veth") || name == BridgeName && m.Header.Type == unix.RTM_NEWLINK
		if !pods {
			return true
		}
	}
	return false
}
