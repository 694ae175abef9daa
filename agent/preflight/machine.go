package preflight

import (
	"context"
	"io/fs"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/agent/host"
)

// machine is what is looked through; tests put another one there.
type machine struct {
	cfg Config
	// probe has the files, programs and clock of the host.
	probe host.Probe
	// wall is the clock.
	wall func() time.Time
	// listen tries an address.
	listen func(network, address string) error
	// statfs asks the file system of the nearest existing folder.
	statfs func(dir string) (unix.Statfs_t, error)
	// write makes a file without a name in the nearest existing folder.
	write func(dir string) error
	// adjtime asks the kernel for the state of its clock (adjtimex(2)).
	adjtime func() (state int, status int32, err error)
	// nofile is how many files a process may open at most.
	nofile func() uint64
	// inotify makes an inotify instance and gives it back.
	inotify func() error
	// resolve asks one resolver for a name; an answer that the name is unknown is
	// one.
	resolve func(ctx context.Context, server netip.Addr, name string) error
	// lookup asks all of them for the addresses of a name.
	lookup func(ctx context.Context, name string) ([]netip.Addr, error)
}

func newMachine(cfg Config) *machine {
	return &machine{
		cfg: cfg, probe: host.NewProbe(), wall: time.Now, listen: tryListen, statfs: statfs, write: tryWrite,
		adjtime: adjtime, nofile: nofile, inotify: tryInotify, resolve: askResolver,
		lookup: func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		},
	}
}

// probes are those for the role, in no order.
func (m *machine) probes() []probe {
	all := []probe{
		{"the kernel and the user", fileLimit, m.kernelBasics},
		{"programs", kernelLimit, m.programs},
		{"the clock", fileLimit, m.clock},
		{"the data directory", fileLimit, m.disk},
		{"memory", fileLimit, m.memory},
		{"ports", fileLimit, m.ports},
		{"address ranges", fileLimit, m.ranges},
		{"address and uplink", fileLimit, m.uplink},
		{"firewalls", kernelLimit, m.firewalls},
		{"resolvers", networkLimit, m.resolvers},
		{"the name of the node", fileLimit, m.name},
	}
	if m.cfg.Node {
		all = append(all,
			probe{"control groups", fileLimit, m.cgroups},
			probe{"limits of the kernel", fileLimit, m.limits},
			probe{"overlayfs", kernelLimit, m.overlay},
			probe{"links and devices", kernelLimit, m.links},
			probe{"nftables", kernelLimit, m.nftables},
			probe{"iptables", kernelLimit, m.iptables},
			probe{"sets and connections", kernelLimit, m.netfilter},
			probe{"shaping", kernelLimit, m.shaping},
		)
	}
	if m.cfg.URL != "" || !m.cfg.Server && !m.cfg.Running {
		all = append(all, probe{"the way to the server", networkLimit, m.server})
	}
	return all
}

// text is a file of the host, "" where it cannot be read.
func (m *machine) text(name string) string {
	data, err := fs.ReadFile(m.probe.Files, strings.TrimPrefix(name, "/"))
	if err != nil {
		return ""
	}
	return string(data)
}

func (m *machine) line(name string) string { return strings.TrimSpace(m.text(name)) }

// there tells whether a file exists.
func (m *machine) there(name string) bool {
	_, err := fs.Stat(m.probe.Files, strings.TrimPrefix(name, "/"))
	return err == nil
}

func (m *machine) root() bool { return m.probe.UID == 0 }

// program runs one of the host's programs.
func (m *machine) program(ctx context.Context, name string, args ...string) (string, error) {
	path, err := m.probe.LookPath(name)
	if err != nil {
		return "", err
	}
	return m.probe.Run(ctx, path, args...)
}

func tryListen(network, address string) error {
	if strings.HasPrefix(network, "udp") {
		c, err := net.ListenPacket(network, address)
		if err != nil {
			return err
		}
		return c.Close()
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return err
	}
	return l.Close()
}

func adjtime() (state int, status int32, err error) {
	var t unix.Timex
	state, err = unix.Adjtimex(&t) // modes 0: it only asks
	return state, t.Status, err
}

func nofile() uint64 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return limit.Max
}

// now is the clock of the host.
func (m *machine) now() time.Time { return m.wall() }

func tryInotify() error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}
