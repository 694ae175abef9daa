package preflight

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/internal/finding"
)

const (
	// roomy is what a node with some images wants, in bytes.
	roomy = 2 << 30
	// evictBelow is the share of free space and inodes below which kubelet evicts
	// (agent/kube), in percent.
	evictBelow = 5
	// roomyRun is what /run should have, in bytes: leases and events of a cluster
	// are a few megabytes.
	roomyRun = 64 << 20
)

// disk looks at the file systems of the data directory and of the run directory.
func (m *machine) disk(context.Context) []finding.Finding {
	dir := m.cfg.Layout.DataDir
	st, err := m.statfs(dir)
	if err != nil {
		return one(finding.DiskWrite, finding.Error, "%v", err)
	}
	kind := m.fileSystem(dir)
	out := []finding.Finding{m.space(st), inodes(st), m.writable(dir), judgeKind(kind)}
	if kind.has("noexec") && m.cfg.Node {
		out = append(out, finding.New(finding.DiskNoexec, finding.Error, "%s is mounted noexec", kind.point))
	}
	if name := m.flash(kind.device); name != "" {
		out = append(out, finding.New(finding.DiskFlash, finding.Info, "%s is on flash (%s)", dir, name))
	}
	return append(out, m.run())
}

func (m *machine) space(st unix.Statfs_t) finding.Finding {
	free, total := st.Bavail*uint64(st.Bsize), st.Blocks*uint64(st.Bsize) //nolint:gosec // block sizes are positive
	what := fmt.Sprintf("%s of %s are free in %s", size(free), size(total), m.cfg.Layout.DataDir)
	needs := uint64(max(m.cfg.Needs, 0))
	switch {
	case free < needs:
		return finding.New(finding.DiskSpace, finding.Error, "%s, a start needs %s", what, size(needs+1<<20))
	case m.cfg.Node && total > 0 && free*100 < total*evictBelow:
		return finding.New(finding.DiskSpace, finding.Warning, "%s, which is below %d %%", what, evictBelow)
	case free < roomy:
		return finding.New(finding.DiskSpace, finding.Warning, "%s", what)
	}
	return finding.New(finding.DiskSpace, finding.OK, "%s", what)
}

// inodes are not counted by every file system (btrfs says 0 of 0).
func inodes(st unix.Statfs_t) finding.Finding {
	if st.Files == 0 {
		return finding.New(finding.DiskInodes, finding.OK, "the file system has as many as it needs")
	}
	return finding.New(finding.DiskInodes, grade(st.Ffree*100 < st.Files*evictBelow, finding.Warning), "%d of %d inodes are free", st.Ffree, st.Files)
}

func (m *machine) writable(dir string) finding.Finding {
	err := m.write(dir)
	switch {
	case err == nil:
		return finding.New(finding.DiskWrite, finding.OK, "%s takes files", dir)
	case errors.Is(err, fs.ErrPermission) && !m.root():
		return finding.New(finding.DiskWrite, finding.Info, "%s is not writable for this user", dir)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return finding.New(finding.DiskWrite, finding.Error, "%s takes no file: the disk is full (%v)", dir, err)
	}
	return finding.New(finding.DiskWrite, finding.Error, "%s takes no file: %v", dir, err)
}

// volume is the mount that a folder is on.
type volume struct {
	point, kind, device string // device is major:minor
	options             []string
}

func (v volume) has(option string) bool { return slices.Contains(v.options, option) }

// fileSystem finds the mount of dir (proc_pid_mountinfo(5)); the last one wins, as
// it is on top.
func (m *machine) fileSystem(dir string) volume {
	dir = m.resolved(dir)
	var best volume
	lines := bufio.NewScanner(strings.NewReader(m.text("proc/self/mountinfo")))
	for lines.Scan() {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 6 || len(right) < 1 {
			continue
		}
		point := unescape(left[4])
		if within(dir, point) && len(point) >= len(best.point) {
			best = volume{point: point, kind: right[0], device: left[2], options: strings.Split(left[5], ",")}
		}
	}
	return best
}

// resolved follows links of the part of dir that exists.
func (m *machine) resolved(dir string) string {
	for at := dir; ; at = filepath.Dir(at) {
		if target, err := filepath.EvalSymlinks(at); err == nil {
			return filepath.Join(target, strings.TrimPrefix(dir, at))
		}
		if at == filepath.Dir(at) {
			return dir
		}
	}
}

func within(dir, point string) bool {
	return point == "/" || dir == point || strings.HasPrefix(dir, point+"/")
}

// unescape reads the octal escapes of mount tables.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// Kinds of file systems that do not carry a data directory, and why.
var unfit = map[string]struct {
	severity finding.Severity
	why      string
}{
	"nfs": {finding.Error, "is a file system of the network"}, "nfs4": {finding.Error, "is a file system of the network"},
	"cifs": {finding.Error, "is a file system of the network"}, "smb3": {finding.Error, "is a file system of the network"},
	"9p": {finding.Error, "is a file system of another machine"}, "fuse.sshfs": {finding.Error, "is a file system of the network"},
	"ceph": {finding.Warning, "is a file system of the network"}, "glusterfs": {finding.Error, "is a file system of the network"},
	"vfat": {finding.Error, "knows no owners and links"}, "exfat": {finding.Error, "knows no owners and links"}, "msdos": {finding.Error, "knows no owners and links"},
	"ntfs": {finding.Error, "knows no owners as containers need them"}, "ntfs3": {finding.Error, "knows no owners as containers need them"},
	"squashfs": {finding.Error, "cannot be written"}, "iso9660": {finding.Error, "cannot be written"}, "erofs": {finding.Error, "cannot be written"},
	"tmpfs": {finding.Warning, "is memory: all is gone after a boot"}, "ramfs": {finding.Warning, "is memory: all is gone after a boot"},
	"rootfs":  {finding.Warning, "is memory: all is gone after a boot"},
	"overlay": {finding.Warning, "is an overlay, on which overlays do not work, and which a container loses with itself"},
}

func judgeKind(v volume) finding.Finding {
	if v.kind == "" {
		return finding.New(finding.DiskKind, finding.Info, "the mount of the data directory is not in /proc/self/mountinfo")
	}
	if bad, ok := unfit[v.kind]; ok {
		return finding.New(finding.DiskKind, bad.severity, "%s at %s %s", v.kind, v.point, bad.why)
	}
	return finding.New(finding.DiskKind, finding.OK, "%s at %s", v.kind, v.point)
}

// flash is the name of the device if it is an SD card or eMMC (mmcblk) or raw flash
// (mtd, ubi), which wear out soon; disks with a controller of their own level it.
func (m *machine) flash(device string) string {
	for line := range strings.Lines(m.text("sys/dev/block/" + device + "/uevent")) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "DEVNAME="); ok {
			for _, kind := range []string{"mmcblk", "mtdblock", "ubiblock"} {
				if strings.HasPrefix(name, kind) {
					return name
				}
			}
		}
	}
	return ""
}

func (m *machine) run() finding.Finding {
	dir := m.cfg.Layout.RunDir
	st, err := m.statfs(dir)
	if err != nil {
		return finding.New(finding.DiskRun, finding.Warning, "%v", err)
	}
	free := st.Bavail * uint64(st.Bsize) //nolint:gosec // block sizes are positive
	kind := m.fileSystem(dir)
	switch {
	case free < roomyRun:
		return finding.New(finding.DiskRun, finding.Warning, "%s are free in %s", size(free), filepath.Dir(dir))
	case kind.kind != "tmpfs" && kind.kind != "ramfs":
		return finding.New(finding.DiskRun, finding.Info, "%s is on %s, which is not in memory", filepath.Dir(dir), kind.kind)
	}
	return finding.New(finding.DiskRun, finding.OK, "%s are free in %s", size(free), filepath.Dir(dir))
}

// existing is dir or its nearest parent that exists.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

func statfs(dir string) (unix.Statfs_t, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(existing(dir), &st); err != nil {
		return st, fmt.Errorf("ask the file system of %s: %w", dir, err)
	}
	return st, nil
}

// tryWrite writes 64 KiB to a file that has no name and so goes by itself
// (O_TMPFILE), or where the file system has no such files to one that is removed.
func tryWrite(dir string) error {
	dir = existing(dir)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return &fs.PathError{Op: "use", Path: dir, Err: syscall.ENOTDIR}
	}
	f, err := os.OpenFile(dir, os.O_RDWR|unix.O_TMPFILE, 0o600)
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.EISDIR) {
		if f, err = os.CreateTemp(dir, ".kedge-check-"); err == nil {
			defer func() { _ = os.Remove(f.Name()) }()
		}
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	_, err = f.Write(make([]byte, 64<<10))
	return err
}
