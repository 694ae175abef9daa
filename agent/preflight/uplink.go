package preflight

import (
	"context"
	"errors"
	"net"
	"strings"

	"github.com/kedge-io/kedge/internal/finding"
	"github.com/kedge-io/kedge/internal/wire"
)

// leastMTU is what IPv6 asks for (RFC 8200, section 5), in bytes.
const leastMTU = 1280

// uplink looks at the address and the default route.
func (m *machine) uplink(context.Context) []finding.Finding {
	var out []finding.Finding
	if m.cfg.AddressError != nil {
		out = one(finding.Address, finding.Error, "%v", m.cfg.AddressError)
	} else {
		out = one(finding.Address, finding.OK, "%s", m.cfg.Address)
	}
	device := m.probe.DefaultDevice()
	if device == "" {
		return append(out, finding.New(finding.Uplink, finding.Warning, "there is no default route"))
	}
	out = append(out, finding.New(finding.Uplink, finding.OK, "the default route leads to %s", device))
	mtu, err := m.probe.MTU(device)
	if err == nil && mtu < leastMTU {
		out = append(out, finding.New(finding.UplinkMTU, finding.Warning, "the MTU of %s is %d bytes", device, mtu))
	}
	return out
}

// name looks at the name of the node, which is the host's unless one is given.
func (m *machine) name(context.Context) []finding.Finding {
	n := m.cfg.NodeName
	err := wire.CheckNodeName(n)
	switch {
	case err != nil:
		return one(finding.NodeName, finding.Error, "%v", err)
	case n == "localhost" || strings.HasPrefix(n, "localhost."):
		return one(finding.NodeName, finding.Warning, "the name %q is that of every machine without a name", n)
	case !m.cfg.Server && !m.cfg.Joined && common(n):
		return one(finding.NodeName, finding.Info, "the name %q is what an image of its kind comes with: the second machine that joins with it is refused", n)
	}
	return one(finding.NodeName, finding.OK, "%s", n)
}

// common are the names that images give to every machine.
func common(name string) bool {
	switch name {
	case "raspberrypi", "debian", "ubuntu", "alpine", "armbian", "openwrt", "fedora", "rockylinux", "centos", "linux", "buildroot":
		return true
	}
	return false
}

// errTimeout tells whether an error is one of time.
func errTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded)
}
