package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/kedge-io/kedge/tests/lab"
)

// memory is what one program holds, in bytes, summed over its processes.
// Resident counts shared pages in full, Proportional divides them by their
// users, Anonymous is what no file backs.
type memory struct {
	Program                           string
	Processes                         int
	Resident, Proportional, Anonymous int64
}

// memoryOf looks at every process of the host, largest program first.
func memoryOf(h *lab.Host) ([]memory, error) {
	found, err := processes(h)
	if err != nil {
		return nil, err
	}
	sums := map[string]*memory{}
	for pid, name := range found {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			continue // it has just ended
		}
		if sums[name] == nil {
			sums[name] = &memory{Program: name}
		}
		m := sums[name]
		m.Processes++
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) != 3 {
				continue
			}
			kib, _ := strconv.ParseInt(f[1], 10, 64)
			switch f[0] {
			case "Rss:":
				m.Resident += kib << 10
			case "Pss:":
				m.Proportional += kib << 10
			case "Anonymous:":
				m.Anonymous += kib << 10
			}
		}
	}
	var all []memory
	for _, m := range sums {
		all = append(all, *m)
	}
	slices.SortFunc(all, func(a, b memory) int { return int(b.Resident - a.Resident) })
	return all, nil
}

func total(all []memory) memory {
	sum := memory{Program: "total"}
	for _, m := range all {
		sum.Processes += m.Processes
		sum.Resident += m.Resident
		sum.Proportional += m.Proportional
		sum.Anonymous += m.Anonymous
	}
	return sum
}
