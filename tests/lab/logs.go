package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// openLog opens a log of the host for appending.
func (h *Host) openLog(name string) (*os.File, error) {
	dir := filepath.Join(h.lab.out, h.Name())
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(filepath.Join(dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
}

// Tails returns the last lines of every log, each under its name.
func (l *Lab) Tails(lines int) string {
	logs, _ := filepath.Glob(filepath.Join(l.out, "*", "*.log"))
	slices.Sort(logs)
	var b strings.Builder
	for _, log := range logs {
		if text := tail(log, lines); text != "" {
			name, _ := filepath.Rel(l.out, log)
			fmt.Fprintf(&b, "==== %s\n%s", name, text)
		}
	}
	return b.String()
}

// tail is the end of a file, at most that many lines and 64 KiB.
func tail(path string, lines int) string {
	const most = 64 << 10
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	buf := make([]byte, min(info.Size(), most))
	n, _ := f.ReadAt(buf, info.Size()-int64(len(buf)))
	all := strings.SplitAfter(string(buf[:n]), "\n")
	return strings.Join(all[max(0, len(all)-lines-1):], "")
}
