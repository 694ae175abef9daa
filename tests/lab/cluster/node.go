package cluster

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"time"

	"github.com/kedge-io/kedge/tests/lab"
)

const arch = runtime.GOARCH

// Node is kedge on one host.
type Node struct {
	Host *lab.Host
	// Args is the command line after "kedge". Change it before Start.
	Args []string
	// Env is added to the daemon's environment, each NAME=VALUE.
	Env []string
	// Under is a command that starts the daemon, with its arguments, as sudo is;
	// empty for none.
	Under []string

	proc *lab.Proc
}

// Name is the node's name, which is the host's.
func (n *Node) Name() string { return n.Host.Name() }

// Proc is the running daemon, or the last one, or nil.
func (n *Node) Proc() *lab.Proc { return n.proc }

// Start starts the daemon. Its log is kedge.log.
func (n *Node) Start() error {
	var err error
	n.proc, err = n.Host.StartEnv("kedge", n.Env, slices.Concat(n.Under, []string{binary}, n.Args)...)
	return err
}

// Kill ends the daemon with SIGKILL. Its children stay, as after a crash.
func (n *Node) Kill() error {
	if n.proc == nil {
		return errors.New("it was not started")
	}
	return n.proc.Kill()
}

// Stop ends the daemon with SIGTERM. It must end by itself with code 0.
func (n *Node) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return n.proc.Stop(ctx)
}

// Kedge runs a kedge command on the host and returns its standard output. The error holds what it
// wrote to standard error.
func (n *Node) Kedge(ctx context.Context, args ...string) (string, error) {
	return n.KedgeInput(ctx, nil, args...)
}

// KedgeInput is Kedge with standard input.
func (n *Node) KedgeInput(ctx context.Context, input []byte, args ...string) (string, error) {
	out, errOut, err := n.Host.RunInput(ctx, input, slices.Concat([]string{binary}, args)...)
	if err != nil {
		return out, fmt.Errorf("kedge %q on %s: %w: %s", args, n.Name(), err, errOut)
	}
	return out, nil
}

// ExitCode is the code in err, 0 for nil, or -1 if err is not about an exit.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	return -1
}
