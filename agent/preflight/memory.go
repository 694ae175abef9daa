package preflight

import (
	"context"
	"fmt"
	"strings"

	"github.com/kedge-io/kedge/internal/finding"
)

// What boards of 512 MB and of 1 GB show, in bytes: a little less.
const (
	leastNode   = 480 << 20
	leastServer = 900 << 20
)

// memory counts memory and swap.
func (m *machine) memory(context.Context) []finding.Finding {
	total := meminfo(m.text("proc/meminfo"), "MemTotal:")
	least := uint64(leastNode)
	if m.cfg.Server {
		least = leastServer
	}
	out := one(finding.Memory, grade(total < least, finding.Warning), "%s of memory", size(total))
	swap := meminfo(m.text("proc/meminfo"), "SwapTotal:")
	if swap == 0 {
		return append(out, finding.New(finding.Swap, finding.OK, "no swap"))
	}
	return append(out, finding.New(finding.Swap, finding.Info, "%s of swap", size(swap)))
}

// meminfo is a figure of /proc/meminfo, which counts in KiB, in bytes.
func meminfo(text, key string) uint64 {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == key {
			var kib uint64
			_, _ = fmt.Sscan(f[1], &kib)
			return kib << 10
		}
	}
	return 0
}
