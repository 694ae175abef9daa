package datastore

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const helperEnv = "KEDGE_TEST_DATASTORE"

// TestMain turns the test binary into a server, or one that saves, when it is asked to.
func TestMain(m *testing.M) {
	if dirs := os.Getenv(helperEnv); dirs != "" {
		data, run, _ := strings.Cut(dirs, ":")
		if err := serveUntilKilled(data, run); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		return
	}
	if data := os.Getenv(saverEnv); data != "" {
		if err := saveUntilKilled(data); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		return
	}
	m.Run()
}

func serveUntilKilled(data, run string) error {
	s, err := New(Config{
		Path: filepath.Join(data, "db", "state.db"), SocketDir: run, VolatileDir: filepath.Join(run, "db"),
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	comp := s.Component()
	if err := comp.Prepare(context.Background()); err != nil {
		return err
	}
	return comp.Run(context.Background(), func() { fmt.Println("ready") })
}

func TestKillLosesNoAcknowledgedWrite(t *testing.T) {
	cfg := testConfig(t)
	data := filepath.Dir(filepath.Dir(cfg.Path))
	acked := map[string]string{}
	for round := range 5 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=NONE")
		cmd.Env = append(os.Environ(), helperEnv+"="+data+":"+cfg.SocketDir)
		cmd.Stderr = os.Stderr
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "ready\n" {
			t.Fatalf("round %d: %q, %v", round, line, err)
		}
		go func() { _, _ = io.Copy(io.Discard, stdout) }()
		writeUntilKilled(t, cmd, cfg, round, acked)
	}
	if err := checkSQLite(t.Context(), cfg.Path, true); err != nil {
		t.Fatal(err)
	}
	r := start(t, cfg)
	defer r.stop(t)
	for _, endpoint := range []string{r.Endpoints()[0], "unix://" + r.volatileSocket()} {
		c := client(t, endpoint)
		for key, want := range acked {
			if got := get(t, c, key); got != want {
				t.Errorf("%s: %s is %q, acknowledged was %q", endpoint, key, got, want)
			}
		}
	}
}

// writeUntilKilled writes to both databases and kills the server in between.
func writeUntilKilled(t *testing.T, cmd *exec.Cmd, cfg Config, round int, acked map[string]string) {
	t.Helper()
	durable := client(t, "unix://"+filepath.Join(cfg.SocketDir, "kine.sock"))
	vol := client(t, "unix://"+filepath.Join(cfg.SocketDir, "kine-volatile.sock"))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for n := 0; ; n++ {
		key, value := fmt.Sprintf("/registry/%d", n%20), fmt.Sprintf("%d-%d", round, n)
		if n == 40+7*round {
			// While the next write is under way.
			go func() { _ = cmd.Process.Kill() }()
		}
		// A write that was not answered may or may not have been made.
		delete(acked, key)
		if _, err := vol.Put(ctx, key, value); err != nil {
			break
		}
		if _, err := durable.Put(ctx, key, value); err != nil {
			break
		}
		acked[key] = value
	}
	if ctx.Err() != nil {
		t.Fatalf("round %d: the server was not killed", round)
	}
	_ = cmd.Wait()
}
