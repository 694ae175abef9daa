package spoke

import (
	"fmt"
	"net"
	"time"

	"github.com/kedge-io/kedge/tunnel/transport"
)

// addressCheck is how often a spoke looks whether its connection's own address
// is still the host's. The kernel does not end a connection whose address is
// gone, and silence takes longer to tell.
const addressCheck = 2 * time.Second

// watch waits for the end of a session, and brings it about when the host no
// longer has the address that the session comes from.
func watch(session *transport.Session) {
	tick := time.NewTicker(addressCheck)
	defer tick.Stop()
	for {
		select {
		case <-session.Done():
			return
		case <-tick.C:
		}
		if local, ok := session.LocalAddr().(*net.TCPAddr); ok && !hostHas(local.IP, net.InterfaceAddrs) {
			session.Close(fmt.Errorf("this host no longer has the address %s", local.IP))
		}
	}
}

// hostHas says whether ip is an address of the host, and yes where that cannot
// be known.
func hostHas(ip net.IP, addresses func() ([]net.Addr, error)) bool {
	list, err := addresses()
	if err != nil || ip.IsLoopback() {
		return true
	}
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok && n.IP.Equal(ip) {
			return true
		}
	}
	return false
}
