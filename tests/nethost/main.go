package nethost

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// inside tells a test binary that it has a network namespace of its own.
const inside = "KEDGE_TEST_IN_NAMESPACE"

// Main runs the tests of a package in a network namespace that nobody else has,
// for what works in the namespace of its whole process: programs that it starts
// are in it, too. Loopback is down there. Without root the tests run where they
// are. It returns the code to exit with.
func Main(m *testing.M) int {
	if os.Geteuid() != 0 || os.Getenv(inside) != "" {
		return m.Run()
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return exit.ExitCode()
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
