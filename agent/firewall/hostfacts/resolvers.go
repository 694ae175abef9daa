package hostfacts

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// DefaultResolvConf is where programs of the host look for resolvers
// (resolv.conf(5)).
const DefaultResolvConf = "/etc/resolv.conf"

// maxResolvers bounds how many are taken from all files.
const maxResolvers = 32

// behind are files with the resolvers that a forwarder on the host asks, where
// resolv.conf names the forwarder: of systemd-resolved (resolved.conf(5)),
// NetworkManager (NetworkManager.conf(5), rc-manager) and dnsmasq with resolvconf.
var behind = []string{
	"/run/systemd/resolve/resolv.conf",
	"/run/NetworkManager/no-stub-resolv.conf",
	"/run/NetworkManager/resolv.conf",
	"/run/dnsmasq/resolv.conf",
	"/run/resolvconf/resolv.conf",
}

// Resolvers are the addresses of the resolvers in resolvConf ("" for
// [DefaultResolvConf]) and in the files that forwarders of the host read, sorted,
// below root, which is "/" but for tests. Addresses of this host are left out.
func Resolvers(root, resolvConf string) []netip.Addr {
	if resolvConf == "" {
		resolvConf = DefaultResolvConf
	}
	var all []netip.Addr
	for _, file := range append([]string{resolvConf}, behind...) {
		all = append(all, nameservers(text(root, file))...)
	}
	slices.SortFunc(all, netip.Addr.Compare)
	all = slices.Compact(all)
	return all[:min(len(all), maxResolvers)]
}

// nameservers reads lines "nameserver ADDRESS"; a zone (fe80::1%eth0) is cut off,
// as rules match addresses.
func nameservers(conf string) []netip.Addr {
	var out []netip.Addr
	for line := range strings.Lines(conf) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "nameserver" {
			continue
		}
		if addr, err := netip.ParseAddr(words[1]); err == nil && outside(addr) {
			out = append(out, addr.Unmap().WithZone(""))
		}
	}
	return out
}

// outside tells whether packets to addr can leave the host.
func outside(addr netip.Addr) bool {
	addr = addr.Unmap()
	return !addr.IsLoopback() && !addr.IsUnspecified() && !addr.IsMulticast()
}

// text is what the file has, "" where it cannot be read.
func text(root, file string) string {
	data, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		return ""
	}
	return string(data)
}
