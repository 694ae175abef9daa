//go:build namespace

package agree

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

var inNamespace = flag.Bool("in-namespace", false, "the test runs in a network namespace of its own")

// TestMain runs the tests again in a network namespace, which is the node: what
// the firewall starts is in it, too.
func TestMain(m *testing.M) {
	flag.Parse()
	if *inNamespace || os.Geteuid() != 0 {
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", append([]string{"-in-namespace"}, os.Args[1:]...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
