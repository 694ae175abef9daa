package testx

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// interval is the pause between two probes.
const interval = 50 * time.Millisecond

// Poll calls probe until it returns nil or ctx ends; then the error is that of the last probe,
// joined with the context's. A probe gets ctx and should end with it.
func Poll(ctx context.Context, probe func(context.Context) error) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		err := probe(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// Eventually fails the test unless probe returns nil within the time. The time is a generous
// bound on a broken run, not something that is measured.
func Eventually(t testing.TB, within time.Duration, what string, probe func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	if err := Poll(ctx, probe); err != nil {
		t.Fatalf("%s: not within %s: %v", what, within, err)
	}
}

// NeedRoot skips the test without root, and fails it instead where CI is set.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Missing(t, "root")
	}
}

// NeedPrograms skips the test if one of the programs is not installed, and fails it instead where
// CI is set.
func NeedPrograms(t testing.TB, names ...string) {
	t.Helper()
	for _, n := range names {
		if _, err := exec.LookPath(n); err != nil {
			Missing(t, "the program "+n)
		}
	}
}

// Missing skips the test and says what it needs. Where CI is set a skip is a failure.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") != "" { //nolint:forbidigo // this is about the process around the test
		t.Fatalf("missing: %s (a skip is a failure in CI)", what)
	}
	t.Skipf("missing: %s", what)
}

// RepoRoot is the directory that holds go.mod, found upwards from the working directory.
func RepoRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("no go.mod in %s or above", dir)
		}
	}
}
