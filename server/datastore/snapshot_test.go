package datastore

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/server/datastore/snapshot"
)

const saverEnv = "KEDGE_TEST_SAVER"

// saver saves the database below data, as a server does.
func saver(data string) *snapshot.Manager {
	return snapshot.New(snapshot.Config{
		Settings: snapshot.Settings{Dir: filepath.Join(data, "snapshots"), Name: "scheduled", Retention: 1},
		Node:     "server-1", Server: data, Database: filepath.Join(data, "db", "state.db"), Token: filepath.Join(data, "recovery-token"),
		Copy: Copy, Pin: func() (wire.Pin, error) { return wire.Pin{1}, nil }, Log: slog.New(slog.DiscardHandler),
	})
}

func saveUntilKilled(data string) error {
	fmt.Println("ready")
	for {
		if _, err := saver(data).Save(context.Background(), ""); err != nil {
			return err
		}
	}
}

func TestKillWhileSavingLeavesWholeSnapshotsAlone(t *testing.T) {
	cfg := testConfig(t)
	r := start(t, cfg)
	c := client(t, r.Endpoints()[0])
	noise := make([]byte, 2000)
	for i := range 1500 {
		if _, err := rand.Read(noise); err != nil {
			t.Fatal(err)
		}
		put(t, c, fmt.Sprintf("/registry/pods/default/p%d", i), hex.EncodeToString(noise))
	}
	data := filepath.Dir(filepath.Dir(cfg.Path))
	interrupted := 0
	for round := range 12 {
		killSaver(t, data, time.Duration(mathrand.IntN(400))*time.Millisecond)
		left, err := filepath.Glob(filepath.Join(data, "snapshots", ".kedge-save-*"))
		if err != nil {
			t.Fatal(err)
		}
		interrupted += len(left)
		verifyAll(t, round, data)
	}
	if interrupted == 0 {
		t.Error("no save was interrupted: the test tests nothing")
	}
	before := len(verifyAll(t, -1, data))
	if _, err := saver(data).Save(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(data, "snapshots", ".kedge-save-*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if after := len(verifyAll(t, -1, data)); after != before+1 {
		t.Errorf("%d snapshots, then %d", before, after)
	}
	put(t, c, "/registry/pods/default/more", "1")
	r.stop(t)
	if err := checkSQLite(t.Context(), cfg.Path, true); err != nil {
		t.Error(err)
	}
}

// killSaver runs a process that saves, for as long as after.
func killSaver(t *testing.T, data string, after time.Duration) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=NONE")
	cmd.Env = append(os.Environ(), saverEnv+"="+data)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	lifecycle.Pause(t.Context(), after)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// verifyAll reads every snapshot that has its name.
func verifyAll(t *testing.T, round int, data string) []snapshot.Entry {
	t.Helper()
	entries, err := snapshot.List(filepath.Join(data, "snapshots"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		a, err := snapshot.Open(e.Location)
		if err != nil {
			t.Errorf("round %d: %v", round, err)
			continue
		}
		if err := a.Verify(t.Context()); err != nil || a.Manifest().Objects["pods"] != 1500 {
			t.Errorf("round %d: %s: %v, %v", round, e.File, a.Manifest().Objects, err)
		}
		_ = a.Close()
	}
	return entries
}
