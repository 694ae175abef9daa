package network

import (
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/agent/rtnetlink"
)

// watchHost calls changed when a link other than a pod's appears, goes or
// changes, and when an address does, in the network namespace of the calling
// thread. The result ends it.
func watchHost(changed func()) (stop func(), err error) {
	return rtnetlink.Watch(unix.RTMGRP_LINK|unix.RTMGRP_IPV4_IFADDR, matters, changed)
}

// matters leaves out the links of pods, which come and go all the time, and the
// changes of the bridge that follow from them.
func matters(m syscall.NetlinkMessage) bool {
	if m.Header.Type != unix.RTM_NEWLINK && m.Header.Type != unix.RTM_DELLINK {
		return true
	}
	link, err := netlink.LinkDeserialize(nil, m.Data)
	if err != nil {
		return true
	}
	name := link.Attrs().Name
	pods := strings.HasPrefix(name, "veth") || name == BridgeName && m.Header.Type == unix.RTM_NEWLINK
	return !pods
}
