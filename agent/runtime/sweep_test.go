package runtime

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kedge-io/kedge/internal/paths"
)

func TestSweepKeepsSlotsInUse(t *testing.T) {
	target := t.TempDir()
	link := filepath.Join(t.TempDir(), "data-dir")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	layout := paths.New(link)
	const current, used, unused = "00000000000000aa", "00000000000000bb", "00000000000000cc"
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip("missing: the program sleep")
	}
	program, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{current, used, unused} {
		bin := filepath.Join(layout.Data(), id, "bin")
		if err := os.MkdirAll(bin, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(bin, "sleep"), program, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(current, filepath.Join(layout.Data(), "current")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(layout.Data(), used, "bin", "sleep"), "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	removed, err := SweepSlots(t.Context(), layout)
	if err != nil || len(removed) != 1 || filepath.Base(removed[0]) != unused {
		t.Errorf("removed %q, %v; want only %s", removed, err, unused)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if removed, err := SweepSlots(t.Context(), layout); err != nil || len(removed) != 1 || filepath.Base(removed[0]) != used {
		t.Errorf("removed %q, %v; want %s once nothing runs from it", removed, err, used)
	}
}

func TestSlotsAreSweptAgainAndAFailureIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		calls := 0
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Hour+3*time.Minute)
		defer cancel()
		keepSwept(ctx, slog.New(slog.NewTextHandler(&said, nil)), func() error {
			calls++
			if calls < 4 {
				return errors.New("disk is read-only")
			}
			return nil
		})
		// At the start, soon after it, and four times in four hours.
		if calls != 6 || strings.Count(said.String(), "read-only") != 1 {
			t.Errorf("%d sweeps in four hours, said:\n%s", calls, said.String())
		}
	})
}
