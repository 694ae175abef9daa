package bandwidth

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/agent/rtnetlink"
)

// groups are what is heard of in rtnetlink(7): links, and the queueing
// disciplines, classes and filters on them.
const groups = unix.RTMGRP_LINK | unix.RTMGRP_TC

// watchKernel calls changed when a link changes or goes, and when a queueing
// discipline, a class or a filter goes, in the network namespace of the calling
// thread. It does not tell who did it. The result ends it.
func watchKernel(changed func()) (stop func(), err error) {
	return rtnetlink.Watch(groups, matters, changed)
}

// matters leaves out what can take nothing away: new classes and filters are
// nearly always our own.
func matters(m syscall.NetlinkMessage) bool {
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK, unix.RTM_DELQDISC, unix.RTM_DELTCLASS, unix.RTM_DELTFILTER:
		return true
	}
	return false
}
