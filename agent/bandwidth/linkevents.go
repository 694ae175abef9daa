package bandwidth

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// groups are what is heard of in rtnetlink(7): links, and the queueing
// disciplines, classes and filters on them.
const groups = unix.RTMGRP_LINK | unix.RTMGRP_TC

// watchKernel calls changed when a link changes or goes, and when a queueing
// discipline, a class or a filter goes, in the network namespace of the calling
// thread. It does not tell who did it. The result ends it.
func watchKernel(changed func()) (stop func(), err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("watching the host's links: %w", err)
	}
	// Non-blocking, so that the file's Close ends a read.
	socket := os.NewFile(uintptr(fd), "rtnetlink")
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		_ = socket.Close()
		return nil, fmt.Errorf("watching the host's links: %w", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		listen(socket, changed)
	}()
	return func() {
		_ = socket.Close()
		<-done
	}, nil
}

func listen(socket *os.File, changed func()) {
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
}

// matters leaves out what can take nothing away: new classes and filters are
// nearly always our own.
func matters(datagram []byte) bool {
	msgs, err := syscall.ParseNetlinkMessage(datagram)
	if err != nil {
		return true
	}
	for _, m := range msgs {
		switch m.Header.Type {
		case unix.RTM_NEWLINK, unix.RTM_DELLINK, unix.RTM_DELQDISC, unix.RTM_DELTCLASS, unix.RTM_DELTFILTER:
			return true
		}
	}
	return false
}
