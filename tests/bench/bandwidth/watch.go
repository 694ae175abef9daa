package main

import (
	"encoding/json"
	"errors"
	"os"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// classChange is a class of HTB that was made or changed: its ceiling in bits per second.
type classChange struct {
	At     time.Time
	Device int
	Minor  uint16
	Ceil   uint64
}

// watch prints every change of a class in this network namespace, a line of JSON each, until
// its standard input ends. It begins with an empty line, once it listens.
func watch([]string) error {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_TC)
	if err != nil {
		return err
	}
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		socket.Close()
	}()
	const room = 4 << 20
	_ = unix.SetsockoptInt(socket.GetFd(), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, room)
	lines := json.NewEncoder(os.Stdout)
	if err := lines.Encode(classChange{}); err != nil {
		return err
	}
	for {
		messages, _, err := socket.Receive()
		now := time.Now()
		if errors.Is(err, unix.EBADF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, m := range messages {
			if c, ok := parseClass(m.Header.Type, m.Data); ok {
				c.At = now
				if err := lines.Encode(c); err != nil {
					return err
				}
			}
		}
	}
}

// parseClass reads a message about a class of HTB (linux/rtnetlink.h, struct tcmsg;
// linux/pkt_sched.h, struct tc_htb_opt: two tc_ratespec of 12 bytes that end with the rate
// in bytes per second).
func parseClass(kind uint16, data []byte) (c classChange, ok bool) {
	const parms, ceil64, ceilAt = 1, 7, 12 + 8
	if kind != unix.RTM_NEWTCLASS || len(data) < nl.SizeofTcMsg {
		return c, false
	}
	msg := nl.DeserializeTcMsg(data)
	attrs, err := nl.ParseRouteAttr(data[nl.SizeofTcMsg:])
	if err != nil {
		return c, false
	}
	for _, a := range attrs {
		if a.Attr.Type&nl.NLA_TYPE_MASK != nl.TCA_OPTIONS {
			continue
		}
		options, err := nl.ParseRouteAttr(a.Value)
		if err != nil {
			return c, false
		}
		for _, o := range options {
			switch {
			case o.Attr.Type == parms && len(o.Value) >= ceilAt+4 && c.Ceil == 0:
				c.Ceil = 8 * uint64(nl.NativeEndian().Uint32(o.Value[ceilAt:]))
			case o.Attr.Type == ceil64 && len(o.Value) >= 8:
				c.Ceil = 8 * nl.NativeEndian().Uint64(o.Value)
			}
		}
	}
	c.Device, c.Minor = int(msg.Ifindex), uint16(msg.Handle)
	return c, c.Ceil > 0
}
