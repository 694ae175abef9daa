package resident

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mapping is a range of addresses that may be dropped.
type mapping struct{ start, end uintptr }

// Trim runs the garbage collector, returns free heap to the kernel and drops
// the pages of the program's file from the process. Call it when start-up is
// over; it takes some milliseconds. Safe at any time and from any goroutine.
func Trim() error {
	debug.FreeOSMemory()
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("name own program: %w", err)
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return fmt.Errorf("list own memory: %w", err)
	}
	defer func() { _ = f.Close() }()
	maps, err := clean(f, exe)
	if err != nil {
		return fmt.Errorf("list own memory: %w", err)
	}
	for _, m := range maps {
		// Where the page cache holds the program in huge pages, one access would
		// bring 2 MiB back. Kernels without huge pages refuse the advice.
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.start, m.end-m.start, unix.MADV_NOHUGEPAGE)
		// MADV_DONTNEED on an unmodified private file mapping only forgets:
		// the next access reads the same bytes from the file (madvise(2)).
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, m.start, m.end-m.start, unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("drop pages of own program: %w", errno)
		}
	}
	return nil
}

// clean lists the read-only mappings of file in the text of smaps
// (proc_pid_smaps(5)) that have no page of their own: a modified page, such as
// a relocated one, would be lost.
func clean(smaps io.Reader, file string) ([]mapping, error) {
	var out []mapping
	var current *mapping
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		switch {
		case len(f) >= 6 && strings.Contains(f[0], "-"):
			current = nil
			path := strings.Join(f[5:], " ")
			if path != file || (f[1] != "r-xp" && f[1] != "r--p") {
				continue
			}
			m, err := parseRange(f[0])
			if err != nil {
				return nil, err
			}
			current = &m
		case len(f) == 5 && strings.Contains(f[0], "-"):
			current = nil // anonymous memory has no path
		case len(f) == 3 && f[0] == "Anonymous:" && current != nil:
			if f[1] == "0" {
				out = append(out, *current)
			}
			current = nil
		}
	}
	return out, lines.Err()
}

func parseRange(s string) (mapping, error) {
	from, to, _ := strings.Cut(s, "-")
	start, err := strconv.ParseUint(from, 16, 64)
	if err != nil {
		return mapping{}, fmt.Errorf("parse address range %q: %w", s, err)
	}
	end, err := strconv.ParseUint(to, 16, 64)
	if err != nil {
		return mapping{}, fmt.Errorf("parse address range %q: %w", s, err)
	}
	return mapping{uintptr(start), uintptr(end)}, nil
}
