package dns

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
)

const (
	defaultResolvConf = "/etc/resolv.conf"
	// maxResolvers is what the forward plugin takes.
	maxResolvers = 15
)

// stubs are the addresses of systemd-resolved's own listeners
// (systemd-resolved.service(8)).
var stubs = []netip.Addr{netip.MustParseAddr("127.0.0.53"), netip.MustParseAddr("127.0.0.54")}

// resolvConfs reads the host's resolvers. Where the file names the stub of
// systemd-resolved, the file that resolved writes for others is used.
type resolvConfs struct {
	path string
	real string // resolv.conf with the resolvers behind the stub
	own  netip.Addr
}

func newResolvConfs(cfg Config) resolvConfs {
	path := cfg.ResolvConf
	if path == "" {
		path = defaultResolvConf
	}
	return resolvConfs{path: path, real: "/run/systemd/resolve/resolv.conf", own: cfg.Address}
}

// errNoResolvers is the lasting trouble of a host without any resolver.
var errNoResolvers = errors.New("the host has no DNS resolver")

// read returns the resolvers in their order, without our own address. It
// returns an error that wraps errNoResolvers when there are none.
func (r resolvConfs) read() ([]netip.Addr, error) {
	text, err := os.ReadFile(r.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the host's resolvers: %w", err)
	}
	addrs := parseResolvers(string(text), r.own)
	if slices.ContainsFunc(addrs, isStub) {
		if text, err := os.ReadFile(r.real); err == nil {
			if behind := parseResolvers(string(text), r.own); len(behind) > 0 {
				addrs = slices.Concat(behind, slices.DeleteFunc(addrs, isStub))
			}
		}
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("%s has no line \"nameserver ADDRESS\", so names outside of the cluster are answered with SERVFAIL; add one or point resolv-conf to a file that has: %w", r.path, errNoResolvers)
	}
	return addrs[:min(len(addrs), maxResolvers)], nil
}

func isStub(a netip.Addr) bool { return slices.Contains(stubs, a) }

// parseResolvers reads the nameserver lines of resolv.conf(5), each address
// once. Our own address would send queries in a circle and is left out.
func parseResolvers(text string, own netip.Addr) []netip.Addr {
	var addrs []netip.Addr
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		addr, err := netip.ParseAddr(fields[1])
		if err != nil {
			continue
		}
		addr = addr.Unmap()
		if addr.IsUnspecified() {
			addr = netip.MustParseAddr("127.0.0.1") // as the resolver of libc takes it
		}
		if addr != own && !slices.Contains(addrs, addr) {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}
