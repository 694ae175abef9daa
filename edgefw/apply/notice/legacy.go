package notice

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// getInfo is IPT_SO_GET_INFO and IP6T_SO_GET_INFO
// (linux/netfilter_ipv4/ip_tables.h).
const getInfo = 64

// figures is struct ipt_getinfo: what the kernel says of one table. Whoever
// flushes, adds or deletes changes them.
type figures struct {
	name       [32]byte
	hooks      uint32
	entry      [5]uint32
	underflow  [5]uint32
	rules, len uint32
}

// legacy asks the kernel for the figures of tables every so often.
type legacy struct {
	watched  []*table
	sockets  [2]int
	interval time.Duration
	mu       sync.Mutex
}

// table is one that is watched. Its figures are those that the caller knows.
type table struct {
	Change
	socket, level int
	last          figures
}

func openLegacy(names []string, interval time.Duration) (*legacy, error) {
	l := &legacy{interval: interval, sockets: [2]int{-1, -1}}
	for i, family := range []struct{ domain, level int }{{unix.AF_INET, unix.SOL_IP}, {unix.AF_INET6, unix.SOL_IPV6}} {
		fd, err := unix.Socket(family.domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if errors.Is(err, unix.EAFNOSUPPORT) {
			continue
		}
		if err != nil {
			l.close()
			return nil, fmt.Errorf("opening a raw socket to watch iptables: %w", err)
		}
		l.sockets[i] = fd
		for _, name := range names {
			l.watched = append(l.watched, &table{Change: Change{Table: name, IPv6: i == 1}, socket: fd, level: family.level})
		}
	}
	for _, t := range l.watched {
		t.last = t.figures()
	}
	return l, nil
}

func (l *legacy) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watched = nil
	for _, fd := range l.sockets {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

func (l *legacy) run(ctx context.Context, tell func(Change)) error {
	defer l.close()
	tick := time.NewTicker(l.interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			for _, c := range l.look() {
				tell(c)
			}
		}
	}
}

// look returns the tables that changed since the last time.
func (l *legacy) look() []Change {
	l.mu.Lock()
	defer l.mu.Unlock()
	var changed []Change
	for _, t := range l.watched {
		if now := t.figures(); now != t.last {
			t.last = now
			changed = append(changed, t.Change)
		}
	}
	return changed
}

func (l *legacy) own(f func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := f()
	for _, t := range l.watched {
		t.last = t.figures()
	}
	return err
}

// figures asks the kernel; a table that is not there has none.
func (t *table) figures() figures {
	var f figures
	copy(f.name[:], t.Table)
	length := uint32(unsafe.Sizeof(f))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(t.socket), uintptr(t.level), getInfo,
		uintptr(unsafe.Pointer(&f)), uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 {
		return figures{}
	}
	return f
}
