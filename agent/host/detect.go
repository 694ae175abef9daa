package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Probe is what Detect looks through; tests give it another host.
type Probe struct {
	// Files is the root file system, without a leading slash in names.
	Files fs.FS
	// UID is the effective user id.
	UID int
	// Now is the clock.
	Now func() time.Time
	// LookPath finds a program.
	LookPath func(name string) (string, error)
	// Run runs a program and returns what it prints on both outputs.
	Run func(ctx context.Context, path string, args ...string) (string, error)
	// Overlay makes and removes an overlay mount below dir.
	Overlay func(dir string) error
	// Writable tells whether a file can be written.
	Writable func(path string) error
	// DiskFree returns the free bytes of the file system of dir, or of its
	// nearest existing parent.
	DiskFree func(dir string) (uint64, error)
	// MTU returns the MTU of a device in bytes.
	MTU func(device string) (int, error)
}

// NewProbe looks at the real host.
func NewProbe() Probe {
	return Probe{
		Files: os.DirFS("/"), UID: os.Geteuid(), Now: time.Now,
		LookPath: lookPath, Run: run, Overlay: tryOverlay, DiskFree: diskFree,
		Writable: func(path string) error { return unix.Access(path, unix.W_OK) },
		MTU: func(device string) (int, error) {
			i, err := net.InterfaceByName(device)
			if err != nil {
				return 0, err
			}
			return i.MTU, nil
		},
	}
}

// programTimeout bounds one call of a host program.
const programTimeout = 5 * time.Second

// Detect looks at the host for a node with its data in dataDir. What cannot be
// read counts as absent.
func (p Probe) Detect(ctx context.Context, dataDir string) Facts {
	f := Facts{Root: p.UID == 0, Kernel: p.line("proc/sys/kernel/osrelease")}
	f.Cgroup, f.Controllers = p.cgroup()
	_, err := fs.Stat(p.Files, "run/systemd/system")
	f.Systemd = err == nil
	f.SysResource = hasCapability(p.text("proc/self/status"), unix.CAP_SYS_RESOURCE)
	f.BridgeNetfilter = p.line("proc/sys/net/bridge/bridge-nf-call-iptables") == "1"
	_, err = fs.Stat(p.Files, "dev/net/tun")
	f.TUN = err == nil
	f.InotifyInstances, _ = strconv.Atoi(p.line("proc/sys/fs/inotify/max_user_instances"))
	f.InotifyWatches, _ = strconv.Atoi(p.line("proc/sys/fs/inotify/max_user_watches"))
	f.SwapBytes = parseSwaps(p.text("proc/swaps"))
	f.MemoryBytes = parseMemTotal(p.text("proc/meminfo"))
	f.DiskFreeBytes, _ = p.DiskFree(dataDir)
	f.Uplink = parseRoute(p.text("proc/net/route"))
	if f.Uplink == "" {
		f.Uplink = parseRoute6(p.text("proc/net/ipv6_route"))
	}
	if f.Uplink != "" {
		f.UplinkMTU, _ = p.MTU(f.Uplink)
	}
	if err := p.Writable("/proc/sys/net/ipv4/ip_forward"); err != nil {
		f.SysctlError = err.Error()
	}
	f.NFT, f.IPTables = p.nft(ctx), p.iptables(ctx)
	if f.Root {
		if err := p.Overlay(dataDir); err != nil {
			f.OverlayError = err.Error()
		}
	}
	return f
}

func (p Probe) text(name string) string {
	data, err := fs.ReadFile(p.Files, name)
	if err != nil {
		return ""
	}
	return string(data)
}

func (p Probe) line(name string) string { return strings.TrimSpace(p.text(name)) }

// nftVersion matches "nftables v1.0.6 (Lester Gooch #5)", iptablesVersion
// "iptables v1.8.9 (nf_tables)".
var (
	nftVersion      = regexp.MustCompile(`nftables v(\S+)`)
	iptablesVersion = regexp.MustCompile(`iptables v(\S+)(?: \((\w+)\))?`)
)

func (p Probe) nft(ctx context.Context) Program {
	path, err := p.LookPath("nft")
	if err != nil {
		return Program{}
	}
	out := Program{Path: path}
	text, err := p.Run(ctx, path, "--version")
	if m := nftVersion.FindStringSubmatch(text); m != nil {
		out.Version = m[1]
	}
	if err == nil && p.UID == 0 {
		// The program is no proof that the kernel has nf_tables.
		text, err = p.Run(ctx, path, "list", "tables")
	}
	if err != nil {
		out.Error = firstLine(text, err)
	}
	return out
}

func (p Probe) iptables(ctx context.Context) Program {
	path, err := p.LookPath("iptables")
	if err != nil {
		return Program{}
	}
	out := Program{Path: path}
	text, err := p.Run(ctx, path, "--version")
	if m := iptablesVersion.FindStringSubmatch(text); m != nil {
		out.Version, out.Backend = m[1], m[2]
		if out.Backend == "" {
			out.Backend = "legacy" // before 1.8 there was no other
		}
	}
	if err != nil {
		out.Error = firstLine(text, err)
	}
	return out
}

func firstLine(text string, err error) string {
	if l, _, _ := strings.Cut(strings.TrimSpace(text), "\n"); l != "" {
		return l
	}
	return err.Error()
}

// lookPath also searches the administrator's folders, which an ordinary
// user's search path lacks.
func lookPath(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("look for program %s: %w", name, exec.ErrNotFound)
}

func run(ctx context.Context, path string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, programTimeout)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// existing returns dir or its nearest parent that exists.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == "/" || dir == "." {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

func diskFree(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(existing(dir), &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return st.Bavail * uint64(st.Bsize), nil //nolint:gosec // the kernel's block size is positive
}

// tryOverlay mounts an overlay on the file system that will hold the layers
// and reads a file through it.
func tryOverlay(dataDir string) (err error) {
	tmp, err := os.MkdirTemp(existing(dataDir), ".kedge-overlay-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	dir := func(name string) string { return filepath.Join(tmp, name) }
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(dir(name), 0o700); err != nil {
			return err
		}
	}
	if err := os.WriteFile(dir("lower/file"), nil, 0o600); err != nil {
		return err
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", dir("lower"), dir("upper"), dir("work"))
	if err := unix.Mount("overlay", dir("merged"), "overlay", 0, options); err != nil {
		return fmt.Errorf("mount overlay: %w", err)
	}
	_, err = os.Stat(dir("merged/file"))
	return errors.Join(err, unix.Unmount(dir("merged"), unix.MNT_DETACH))
}
