package restore

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/server/datastore/snapshot"
)

const helperEnv = "KEDGE_TEST_RESTORE"

// TestMain turns the test binary into a restore when it is asked to.
func TestMain(m *testing.M) {
	if args := os.Getenv(helperEnv); args != "" {
		part := strings.Split(args, "|")
		token, err := snapshot.ParseToken(part[3])
		if err == nil {
			var a *snapshot.Archive
			if a, err = snapshot.Open(part[2]); err == nil {
				_, err = Run(context.Background(), Request{Layout: paths.Layout{DataDir: part[0], RunDir: part[1]}, Archive: a, Name: "x", Token: &token, Now: time.Now()})
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	m.Run()
}

func TestKillLeavesTheFormerStateOrTheRestoredOne(t *testing.T) {
	l, token, file := cluster(t)
	former, restored := 0, 0
	for round := 0; restored < 3 && round < 60; round++ {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=NONE")
		cmd.Env = append(os.Environ(), helperEnv+"="+strings.Join([]string{l.DataDir, l.RunDir, file, token.Encode()}, "|"))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		kill := time.AfterFunc(time.Duration(10+3*round)*time.Millisecond, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		kill.Stop()
		if _, err := Finish(l); err != nil {
			t.Fatal(err)
		}
		leftovers(t, l)
		use(t, l, func(c *clientv3.Client) {
			switch got := get(t, c, "/registry/x"); got {
			case "lost":
				former++
			case "saved":
				restored++
				put(t, c, "/registry/x", "lost")
			default:
				t.Fatalf("round %d: x is %q", round, got)
			}
		})
	}
	t.Logf("%d rounds left the former state, %d the restored one", former, restored)
	if former == 0 || restored == 0 {
		t.Errorf("no kill fell into the restore: %d, %d", former, restored)
	}
}

// A kill between any two renames is made up for by the next.
func TestPlanIsCarriedOutFromAnyPoint(t *testing.T) {
	for stop := range 12 {
		l, token, file := cluster(t)
		_ = token
		a, err := snapshot.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		w := &work{layout: l, now: time.Now(), plan: plan{What: "x"}}
		o, err := Request{Layout: l, Archive: a, Name: "x"}.owner(a.Manifest())
		if err != nil {
			t.Fatal(err)
		}
		var res Result
		res.Manifest = a.Manifest()
		if err := w.make(t.Context(), Request{Layout: l, Archive: a, Name: "x", Now: time.Now()}, o, &res); err != nil {
			t.Fatal(err)
		}
		_ = a.Close()
		if err := w.plan.decide(l); err != nil {
			t.Fatal(err)
		}
		done := halfOf(t, w.plan, l, stop)
		if what, err := Finish(l); err != nil || what != "x" {
			t.Fatalf("finish after %d renames: %q, %v", stop, what, err)
		}
		leftovers(t, l)
		use(t, l, func(c *clientv3.Client) {
			if got := get(t, c, "/registry/x"); got != "saved" {
				t.Errorf("after %d renames x is %q", stop, got)
			}
		})
		if done {
			return
		}
	}
}

// halfOf makes the first n renames of a plan.
func halfOf(t *testing.T, p plan, l paths.Layout, n int) (all bool) {
	t.Helper()
	at := func(rel string) string { return filepath.Join(l.Server(), rel) }
	step := func(from, to string) bool {
		if n == 0 {
			return false
		}
		n--
		if err := rename(at(from), at(to)); err != nil {
			t.Fatal(err)
		}
		return true
	}
	for _, m := range p.Moves {
		if m.Aside != "" && !step(m.Target, m.Aside) {
			return false
		}
		if m.New != "" && !step(m.New, m.Target) {
			return false
		}
	}
	return true
}
