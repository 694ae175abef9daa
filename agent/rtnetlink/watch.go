package rtnetlink

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Watch calls changed, from a goroutine of its own, when a message of groups
// (RTMGRP_ of rtnetlink(7)) matters, and when messages were lost or cannot be
// read. It listens in the network namespace of the calling thread. The result
// ends it and returns when changed is called no more.
func Watch(groups uint32, matters func(syscall.NetlinkMessage) bool, changed func()) (stop func(), err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("watch the host's links: %w", err)
	}
	// Non-blocking, so that the file's Close ends a read.
	socket := os.NewFile(uintptr(fd), "rtnetlink")
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		_ = socket.Close()
		return nil, fmt.Errorf("watch the host's links: %w", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		listen(socket, matters, changed)
	}()
	return func() {
		_ = socket.Close()
		<-done
	}, nil
}

func listen(socket *os.File, matters func(syscall.NetlinkMessage) bool, changed func()) {
	buf := make([]byte, 64<<10) // larger than any message of the kernel
	for {
		n, err := socket.Read(buf)
		switch {
		case errors.Is(err, unix.ENOBUFS):
			changed() // messages were lost
		case err != nil:
			return
		case anyOf(buf[:n], matters):
			changed()
		}
	}
}

func anyOf(datagram []byte, matters func(syscall.NetlinkMessage) bool) bool {
	msgs, err := syscall.ParseNetlinkMessage(datagram)
	if err != nil {
		return true
	}
	for _, m := range msgs {
		if matters(m) {
			return true
		}
	}
	return false
}
