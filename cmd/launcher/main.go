package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/kedge-io/kedge/internal/payload"
)

const (
	// launcherEnv tells the program which file a person installed.
	launcherEnv = "KEDGE_LAUNCHER"
	// lockPatience is how long another first start may take: slow flash writes
	// the 190 MB in about a minute.
	lockPatience = 5 * time.Minute
	// exitFailure is the code of kedge's own failures.
	exitFailure = 1
)

func main() {
	err := launch(os.Args, os.Environ())
	fmt.Fprintf(os.Stderr, "kedge: %v\n", err)
	os.Exit(exitFailure)
}

// launch becomes the program in this process's file. It returns only errors.
func launch(argv, env []string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program's file (is /proc mounted?): %w", err)
	}
	p, err := payload.Open(self)
	if err != nil {
		return explainPayload(err)
	}
	if err := checkArch(p.Trailer); err != nil {
		return err
	}
	folders := candidates(argv, env, os.Geteuid())
	env = append(without(env, launcherEnv), launcherEnv+"="+self)
	// Between the look at a slot and its start, the sweep of another kedge may
	// remove it: once more is enough, as a sweep happens once per start.
	const attempts = 3
	for range attempts {
		var program string
		if program, err = ensure(p, folders); err != nil {
			return err
		}
		if err = syscall.Exec(program, argv, env); !errors.Is(err, syscall.ENOENT) {
			return explainExec(err, program)
		}
	}
	return explainExec(err, program(folders[0], p.ID()))
}

// ensure returns the program's path, unpacked if it has to be.
func ensure(p *payload.Payload, folders []string) (string, error) {
	if path := firstReady(p.Trailer, folders); path != "" {
		return path, nil
	}
	running := slices.DeleteFunc(runningFrom("/proc", p.ID(), os.Geteuid()), func(dir string) bool {
		return !guarded(filepath.Dir(program(dir, p.ID())), os.Geteuid())
	})
	if path := firstReady(p.Trailer, running); path != "" {
		return path, nil
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	var failed []error
	for _, dir := range folders {
		s := newSlot(dir, p.Trailer)
		err := s.unpack(ctx, p)
		if err == nil {
			return s.program(), nil
		}
		failed = append(failed, err)
		if ctx.Err() != nil || !mayTryNext(err) {
			break
		}
	}
	return "", errors.Join(failed...)
}

// firstReady is the path of the first program that is there already, or "".
func firstReady(want payload.Trailer, folders []string) string {
	for _, dir := range folders {
		if s := newSlot(dir, want); s.ready() == nil {
			return s.program()
		}
	}
	return ""
}
