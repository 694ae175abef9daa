package hostfacts

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/kedge-io/kedge/edgefw/model"
)

// DefaultFailsafePort is the port of an entry that names none: ssh.
const DefaultFailsafePort = 22

// ParseFailsafe reads an entry of --failsafe: an address or CIDR, and a TCP port
// after "=" where it is not 22.
func ParseFailsafe(entry string) (model.Failsafe, error) {
	from, port, named := strings.Cut(entry, "=")
	out := model.Failsafe{Port: DefaultFailsafePort}
	prefix, err := netip.ParsePrefix(from)
	if err != nil {
		addr, addrErr := netip.ParseAddr(from)
		if addrErr != nil || addr.Zone() != "" {
			return out, fmt.Errorf("--failsafe %q must be an address or CIDR, with =PORT where the port is not %d, such as 192.0.2.0/24=22", entry, DefaultFailsafePort)
		}
		prefix = netip.PrefixFrom(addr, addr.BitLen())
	}
	if prefix.Addr().Is4In6() {
		return out, fmt.Errorf("--failsafe %q: write IPv4 addresses as such", entry)
	}
	out.From = prefix.Masked()
	if !named {
		return out, nil
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return out, fmt.Errorf("--failsafe %q: port %q must be 1 to 65535", entry, port)
	}
	out.Port = uint16(number)
	return out, nil
}
