package rtnetlink

import (
	"encoding/binary"
	"syscall"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWatchEndsWhenItIsStopped(t *testing.T) {
	stop, err := Watch(unix.RTMGRP_LINK, func(syscall.NetlinkMessage) bool { return false }, func() {})
	if err != nil {
		t.Fatal(err)
	}
	stop()
}

func TestOneMessageOfADatagramIsEnough(t *testing.T) {
	wanted := func(m syscall.NetlinkMessage) bool { return m.Header.Type == unix.RTM_DELLINK }
	calm, loud := message(unix.RTM_NEWLINK), message(unix.RTM_DELLINK)
	for _, c := range []struct {
		name     string
		datagram []byte
		want     bool
	}{
		{"nothing", nil, false},
		{"another", calm, false},
		{"the last", append(append([]byte{}, calm...), loud...), true},
		{"cut off", calm[:len(calm)-1], true},
	} {
		if got := anyOf(c.datagram, wanted); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func message(kind uint16) []byte {
	m := make([]byte, unix.SizeofNlMsghdr+unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(m, uint32(len(m)))
	binary.NativeEndian.PutUint16(m[4:], kind)
	return m
}
