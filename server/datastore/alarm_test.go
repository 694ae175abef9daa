package datastore

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// What the death of a process leaves is never taken for damage, whatever the log
// has been through: connections begin it again in turn, and each has its own
// idea of its salts.
func TestNoFalseAlarmAfterCheckpoints(t *testing.T) {
	cfg := testConfig(t)
	r := start(t, cfg)
	defer r.stop(t)
	c := client(t, r.Endpoints()[0])
	var last int64
	for round := range 12 {
		var writers sync.WaitGroup
		for w := range 4 {
			writers.Go(func() {
				for k := range 10 {
					put(t, c, fmt.Sprintf("/registry/%d/%d", w, k), strings.Repeat("x", 3000))
				}
			})
		}
		writers.Wait()
		last = put(t, c, "/registry/last", fmt.Sprint(round))
		if err := r.running[0].act(t.Context(), actions{checkpoint: true, truncate: round%3 == 2}); err != nil {
			t.Fatal(err)
		}
		if round%2 == 1 {
			last = put(t, c, "/registry/last", fmt.Sprint(round, "again"))
		}
		i := copyImage(t, cfg, last)
		for _, at := range []image{i, i.powerCut(t)} {
			found, err := Check(t.Context(), at.path, at.volatile, false)
			if err != nil || found.Revision < last {
				t.Fatalf("round %d: %+v, %v", round, found, err)
			}
		}
	}
}

func TestNoFalseAlarmAfterKillsDuringStarts(t *testing.T) {
	cfg := testConfig(t)
	data := filepath.Dir(filepath.Dir(cfg.Path))
	for round := range 25 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=NONE")
		cmd.Env = append(os.Environ(), helperEnv+"="+data+":"+cfg.SocketDir)
		var said strings.Builder
		cmd.Stderr = &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		kill := time.AfterFunc(rand.N(600*time.Millisecond), func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		kill.Stop()
		if strings.Contains(said.String(), "damaged") || strings.Contains(said.String(), "missing") {
			t.Fatalf("round %d: %s", round, said.String())
		}
	}
	start(t, cfg).stop(t)
}
