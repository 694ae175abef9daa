package sock

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/tunnel"
)

// Priorities of sockets (SO_PRIORITY, socket(7)) by class of lane. The first
// three are the kernel's TC_PRIO_CONTROL, _INTERACTIVE and _BULK, which queues
// with bands understand. agent/bandwidth/classify takes 7 for control traffic
// and lets 8 pass, because the packets within have been shaped before. More than
// 6 needs CAP_NET_ADMIN. Whoever sets IP_TOS later changes the priority too.
const (
	priorityControl     = 7
	priorityInteractive = 6
	priorityBulk        = 2
	priorityRelay       = 8
)

func priorityOf(class tunnel.Lane) int {
	switch class {
	case tunnel.LaneControl:
		return priorityControl
	case tunnel.LaneInteractive:
		return priorityInteractive
	case tunnel.LaneBulk:
		return priorityBulk
	case tunnel.LaneRelay:
		return priorityRelay
	}
	return 0
}

// prioritize sets the priority of c, or of the connection that carries it.
func prioritize(c net.Conn, class tunnel.Lane) {
	if carried, ok := c.(interface{ Carrier() net.Conn }); ok {
		c = Bottom(carried.Carrier())
	}
	sc, ok := c.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PRIORITY, priorityOf(class))
	})
}
