package slots

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Programs are the files that processes execute, each path as the kernel names
// it: without symbolic links.
type Programs []string

// Running lists the programs of all processes below proc, where the proc file
// system is mounted. Processes that this one may not look at are left out.
func Running(proc string) (Programs, error) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var all Programs
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		if exe, err := os.Readlink(filepath.Join(proc, e.Name(), "exe")); err == nil {
			// The kernel's mark of a removed file is cut off.
			all = append(all, strings.TrimSuffix(exe, " (deleted)"))
		}
	}
	return all, nil
}

// In tells whether one of the programs is inside the folder slot.
func (p Programs) In(slot string) bool {
	if target, err := filepath.EvalSymlinks(slot); err == nil {
		slot = target
	}
	for _, exe := range p {
		if strings.HasPrefix(exe, slot+"/") {
			return true
		}
	}
	return false
}
