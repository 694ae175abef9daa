package preflight

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDisks(t *testing.T) {
	const plain = "25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n30 25 0:25 / /run rw,nosuid shared:5 - tmpfs tmpfs rw\n"
	for name, c := range map[string]struct {
		mounts string
		more   string // a mount at the data directory
		files  map[string]string
		free   uint64 // blocks of 4096 bytes, of 1<<24
		inodes uint64 // of 1000
		needs  int64
		write  error
		want   []string
	}{
		"well":         {plain, "", nil, 1 << 23, 900, 100 << 20, nil, nil},
		"full":         {plain, "", nil, 1 << 10, 900, 100 << 20, syscall.ENOSPC, []string{"error disk.space: a start needs", "error disk.writable: the disk is full"}},
		"nearly full":  {plain, "", nil, 1 << 18, 900, 0, nil, []string{"warning disk.space: below 5 %"}},
		"no inodes":    {plain, "", nil, 1 << 23, 10, 0, nil, []string{"warning disk.inodes: 10 of 1000"}},
		"read-only":    {plain, "", nil, 1 << 23, 900, 0, syscall.EROFS, []string{"error disk.writable: read-only"}},
		"nfs":          {plain, "40 25 0:50 / /var/lib/kedge rw - nfs4 server:/x rw\n", nil, 1 << 23, 900, 0, nil, []string{"error disk.file-system: network"}},
		"tmpfs":        {plain, "40 25 0:50 / /var/lib rw - tmpfs x rw\n", nil, 1 << 23, 900, 0, nil, []string{"warning disk.file-system: gone after a boot"}},
		"other folder": {plain, "40 25 0:50 / /var/libel rw - nfs x rw\n", nil, 1 << 23, 900, 0, nil, nil},
		"noexec":       {plain, "40 25 8:2 / /var rw,noexec - xfs /dev/sdb rw\n", nil, 1 << 23, 900, 0, nil, []string{"error disk.noexec: /var"}},
		"SD card": {plain, "40 25 179:2 / /var rw - ext4 /dev/mmcblk0p2 rw\n", map[string]string{"sys/dev/block/179:2/uevent": "MAJOR=179\nDEVNAME=mmcblk0p2\n"}, 1 << 23, 900, 0, nil,
			[]string{"info disk.flash: mmcblk0p2"}},
		"run on disk": {"25 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n", "", nil, 1 << 23, 900, 0, nil, []string{"info disk.run: not in memory"}},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"proc/self/mountinfo": c.mounts + c.more}
			for n, text := range c.files {
				files[n] = text
			}
			m := fake(files, nil)
			m.cfg.Needs = c.needs
			m.write = func(string) error { return c.write }
			m.statfs = func(dir string) (unix.Statfs_t, error) {
				st := unix.Statfs_t{Bsize: 4096, Blocks: 1 << 24, Bavail: 1 << 23, Files: 1000, Ffree: 900}
				if dir != m.cfg.Layout.RunDir {
					st.Bavail, st.Ffree = c.free, c.inodes
				}
				return st, nil
			}
			expect(t, m.disk(t.Context()), c.want...)
		})
	}
}

func TestWritingLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	if err := tryWrite(dir + "/not/there/yet"); err != nil {
		t.Error(err)
	}
	if err := tryWrite("/proc/self/status"); err == nil {
		t.Error("a file is a folder")
	}
	if left := existing(dir + "/not/there/yet"); left != dir {
		t.Errorf("%s was made", left)
	}
}

func TestMemory(t *testing.T) {
	m := fake(map[string]string{"proc/meminfo": "MemTotal: 600000 kB\nSwapTotal: 1048576 kB\n"}, nil)
	expect(t, m.memory(t.Context()), "info memory.swap: 1024 MiB")
	m.cfg.Server = true
	expect(t, m.memory(t.Context()), "warning memory.size: 585 MiB", "info memory.swap: 1024 MiB")
}
