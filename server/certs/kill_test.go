package certs

import (
	"crypto/x509"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/pki"
)

// killedDir tells a copy of this program to replace authorities in a folder, over
// and over, until it is killed.
const killedDir = "KEDGE_TEST_ROTATE"

func TestMain(m *testing.M) {
	dir := os.Getenv(killedDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	k := NewKeeper(rotating(dir), slog.New(slog.DiscardHandler), nil)
	if err := k.Ensure(); err != nil {
		slog.Error("make certificates", "error", err)
		os.Exit(1)
	}
	_, _ = os.Stdout.WriteString("begun")
	for {
		for _, step := range []func() (State, error){k.PrepareCA, k.SwitchCA, k.FinishCA} {
			if _, err := step(); err != nil {
				slog.Error("rotate", "error", err)
				os.Exit(1)
			}
		}
	}
}

func rotating(dir string) Config {
	config := baseConfig(dir)
	config.Now = func() time.Time { return now }
	return config
}

func TestKillAtAnyMomentLeavesAClusterThatGoesOn(t *testing.T) {
	dir := t.TempDir()
	phases := map[Phase]int{}
	for range 15 {
		kill(t, dir)
		k := NewKeeper(rotating(dir), slog.New(slog.DiscardHandler), nil)
		state, err := ReadState(k.Paths())
		if err != nil {
			t.Fatal(err)
		}
		phases[state.Phase]++
		if err := k.Ensure(); err != nil {
			t.Fatalf("after a kill in phase %s: %v", state.Phase, err)
		}
		p := k.Paths()
		for _, check := range []struct {
			trust string
			pair  Pair
			usage x509.ExtKeyUsage
		}{
			{p.ServerTrust, p.Serving, x509.ExtKeyUsageServerAuth}, {p.ClientTrust, p.Supervisor, x509.ExtKeyUsageClientAuth},
			{p.RequestHeaderTrust, p.AuthProxy, x509.ExtKeyUsageClientAuth}, {p.EtcdTrust, p.EtcdServing, x509.ExtKeyUsageServerAuth},
		} {
			if err := accepts(readPool(t, check.trust), check.pair, check.usage); err != nil {
				t.Fatalf("after a kill in phase %s: %s: %v", state.Phase, check.pair.Cert, err)
			}
		}
		if _, err := pki.ReadCA(p.KubeletCA.Cert, p.KubeletCA.Key); err != nil {
			t.Fatal(err)
		}
	}
	if len(phases) < 3 {
		t.Errorf("killed in phases %v only: nothing is shown of the others", phases)
	}
}

// kill starts the program, and kills it some milliseconds into its work, which is a
// tenth of a second for each step.
func kill(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killedDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("begun"))); err != nil {
		t.Fatal(err)
	}
	<-time.After(rand.N(400 * time.Millisecond))
	if err := cmd.Process.Kill(); err != nil {
		t.Fatalf("it ended by itself: %v", err)
	}
	_ = cmd.Wait()
	if cmd.ProcessState.Exited() {
		t.Fatalf("it ended by itself: %v", cmd.ProcessState)
	}
}

func TestLeftoversOfAnInterruptedRotationAreSwept(t *testing.T) {
	config := testConfig(t)
	k := keeper(t, config)
	left := filepath.Join(k.Paths().Rotation+unfinished, nextFolder, "server-ca.key")
	if err := os.MkdirAll(filepath.Dir(left), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := k.Ensure(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(filepath.Dir(left))); !os.IsNotExist(err) {
		t.Fatal("it is still there", err)
	}
}
