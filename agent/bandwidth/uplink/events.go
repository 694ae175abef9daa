package uplink

import (
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/agent/rtnetlink"
)

// rtmgrpIPv6Route is RTMGRP_IPV6_ROUTE of rtnetlink(7).
const rtmgrpIPv6Route = 1 << (unix.RTNLGRP_IPV6_ROUTE - 1)

// watchLinks calls changed when a link other than a pod's or a default route
// appears, goes or changes, in the network namespace of the calling thread. The
// result ends it.
func watchLinks(changed func()) (stop func(), err error) {
	return rtnetlink.Watch(unix.RTMGRP_LINK|unix.RTMGRP_IPV4_ROUTE|rtmgrpIPv6Route, matters, changed)
}

// matters leaves out the links of pods and kedge's own, and routes that are not
// the default one: they come and go all the time.
func matters(m syscall.NetlinkMessage) bool {
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		link, err := netlink.LinkDeserialize(nil, m.Data)
		return err != nil || !passing(link.Attrs().Name)
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		// The second byte of struct rtmsg is the length of the destination.
		return len(m.Data) < unix.SizeofRtMsg || m.Data[1] == 0
	}
	return false
}

func passing(name string) bool {
	return strings.HasPrefix(name, "veth") || strings.HasPrefix(name, "kedge-")
}
