package cluster

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
)

// WithClock puts the program of tests/clock on a host, and returns the start of a
// command line that runs the rest of it with a clock that is off by shift.
func WithClock(t *testing.T, h *lab.Host, shift time.Duration) []string {
	t.Helper()
	root, err := testx.RepoRoot()
	Must(t, err)
	path := filepath.Join(t.TempDir(), "clock")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./tests/clock")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build tests/clock: %v\n%s", err, out)
	}
	text, err := os.ReadFile(path)
	Must(t, err)
	const there = "/usr/local/bin/clock"
	Must(t, h.WriteFile(there, text, 0o755))
	return []string{there, shift.String()}
}
