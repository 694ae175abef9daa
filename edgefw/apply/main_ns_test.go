//go:build namespace

package apply_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/kedge-io/kedge/edgefw/apply"
)

// inside tells the test binary that it has a network namespace of its own.
const inside = "KEDGE_TEST_APPLY_NAMESPACE"

// TestMain runs the tests in a network namespace that nobody else has: what is
// tested works in the namespace of the whole process.
func TestMain(m *testing.M) {
	if v := os.Getenv(victim); v != "" {
		applyUntilKilled(apply.Variant(v))
	}
	if os.Getenv(idle) != "" {
		if err := enforceNothing(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.Geteuid() != 0 || os.Getenv(inside) != "" {
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(exit.ExitCode())
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
