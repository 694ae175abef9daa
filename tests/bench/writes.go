package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kedge-io/kedge/tests/lab"
)

const (
	diskImage = "disk.img"
	diskSize  = 6 << 30 // sparse
	sector    = 512     // bytes; the unit of /sys/block/*/stat on every device
)

// writes are bytes that went to a host's disk during the watch. Device is what
// the block device of the data directory took, file system journal included;
// Programs what each program dirtied on any disk (proc_pid_io(5), write_bytes).
type writes struct {
	Subject  string
	Seconds  float64
	Device   int64
	Programs map[string]int64
	Log      int64 // grew during the watch; a journal of the host would hold it
}

// perHour scales bytes of the watch to an hour.
func (w writes) perHour(bytes int64) float64 { return float64(bytes) / w.Seconds * 3600 }

// mountDisk puts a disk of its own below the data directory, so that what is
// written can be counted where it arrives. It goes with the host.
func mountDisk(ctx context.Context, h *lab.Host) error {
	image := filepath.Join(h.Dir(), diskImage)
	f, err := os.Create(image)
	if err != nil {
		return err
	}
	if err := f.Truncate(diskSize); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	for _, argv := range [][]string{
		// Everything is initialised now: nothing is left to a kernel thread
		// that would write while the cluster idles.
		{"mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", "-J", "size=16", image},
		{"mount", "-o", "loop", image, dataDir},
	} {
		if _, text, err := h.Run(ctx, argv...); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, text)
		}
	}
	return nil
}

// device is the name of the block device below the data directory.
func device(h *lab.Host) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", h.InitPID()))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if i := slices.Index(f, "-"); i > 0 && f[4] == dataDir && strings.HasPrefix(f[i+2], "/dev/loop") {
			return filepath.Base(f[i+2]), nil
		}
	}
	return "", fmt.Errorf("no loop device is mounted on %s of %s", dataDir, h.Name())
}

// counted is a moment of a host.
type counted struct {
	at     time.Time
	device int64
	byPID  map[int]int64
	names  map[int]string
	log    int64
}

func count(h *lab.Host, logs string) (counted, error) {
	c := counted{at: time.Now(), byPID: map[int]int64{}}
	dev, err := device(h)
	if err != nil {
		return c, err
	}
	text, err := os.ReadFile("/sys/block/" + dev + "/stat")
	if err != nil {
		return c, err
	}
	if f := strings.Fields(string(text)); len(f) > 6 {
		n, _ := strconv.ParseInt(f[6], 10, 64)
		c.device = n * sector
	}
	if c.names, err = processes(h); err != nil {
		return c, err
	}
	for pid := range c.names {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
		for line := range strings.Lines(string(text)) {
			if n, ok := strings.CutPrefix(line, "write_bytes: "); ok {
				c.byPID[pid], _ = strconv.ParseInt(strings.TrimSpace(n), 10, 64)
			}
		}
	}
	files, err := filepath.Glob(filepath.Join(logs, h.Name(), "*.log"))
	for _, f := range files {
		if info, err := os.Stat(f); err == nil {
			c.log += info.Size()
		}
	}
	return c, err
}

func between(subject string, a, b counted) writes {
	w := writes{Subject: subject, Seconds: b.at.Sub(a.at).Seconds(), Device: b.device - a.device, Log: b.log - a.log, Programs: map[string]int64{}}
	for pid, n := range b.byPID {
		w.Programs[b.names[pid]] += n - a.byPID[pid]
	}
	return w
}
