package preflight

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/kedge-io/kedge/internal/finding"
)

// probe is one look at something.
type probe struct {
	name  string
	limit time.Duration
	look  func(ctx context.Context) []finding.Finding
}

// Limits of probes. Those of the kernel run programs of the host, whose lock
// somebody else may hold; the others read files or wait for the network.
const (
	fileLimit    = time.Second
	kernelLimit  = 4 * time.Second
	networkLimit = 4 * time.Second
)

// Check runs all probes that make sense for what is to be started, at the same
// time, and returns what they found, the worst first. It returns within the longest
// limit even if probes hang; those go on in the background until they are done.
func Check(ctx context.Context, cfg Config) []finding.Finding {
	return run(ctx, newMachine(cfg).probes())
}

func run(ctx context.Context, probes []probe) []finding.Finding {
	results := make([][]finding.Finding, len(probes))
	var all sync.WaitGroup
	for i, p := range probes {
		all.Go(func() { results[i] = p.bounded(ctx) })
	}
	all.Wait()
	var found []finding.Finding
	for _, r := range results {
		found = append(found, r...)
	}
	finding.Sort(found)
	return found
}

// bounded gives a probe its time. What hangs in the kernel cannot be ended, so it
// is left behind.
func (p probe) bounded(ctx context.Context) []finding.Finding {
	limited, cancel := context.WithTimeout(ctx, p.limit)
	defer cancel()
	done := make(chan []finding.Finding, 1)
	go func() { done <- p.look(limited) }()
	// A probe that heeds its context gets a moment to say what it was waiting for.
	late := time.NewTimer(p.limit + p.limit/4)
	defer late.Stop()
	select {
	case found := <-done:
		return found
	case <-late.C:
		return []finding.Finding{finding.New(finding.Probe, finding.Warning, "looking at %s took longer than %s", p.name, p.limit)}
	case <-ctx.Done():
		return []finding.Finding{finding.New(finding.Probe, finding.Warning, "looking at %s was interrupted: %v", p.name, ctx.Err())}
	}
}

// one is a list of one finding.
func one(id finding.ID, s finding.Severity, format string, args ...any) []finding.Finding {
	return []finding.Finding{finding.New(id, s, format, args...)}
}

// grade is OK or, if bad, s.
func grade(bad bool, s finding.Severity) finding.Severity {
	if bad {
		return s
	}
	return finding.OK
}

// size is a number of bytes for people.
func size(bytes uint64) string {
	switch {
	case bytes >= 10<<30:
		return fmt.Sprintf("%d GiB", bytes>>30)
	case bytes >= 1<<20:
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return fmt.Sprintf("%d KiB", bytes>>10)
}
