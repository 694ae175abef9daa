package lab

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// The words that a re-executed program finds as its first argument.
const (
	verbHost = "kedge-lab-host"
	verbReap = "kedge-lab-reaper"
)

// Reexec does the work of a host's PID 1 or of the reaper if this process was started as one of
// them; code is then the exit code. Call it first thing in main.
func Reexec() (code int, done bool) {
	if len(os.Args) != 3 {
		return 0, false
	}
	var err error
	switch os.Args[1] {
	case verbHost:
		err = hostMain(os.Args[2])
	case verbReap:
		err = reaperMain(os.Args[2])
	default:
		return 0, false
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, os.Args[1]+":", err)
		return 1, true
	}
	return 0, true
}

// Main is Reexec for a test program:
//
//	func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }
func Main(m *testing.M) int {
	if code, done := Reexec(); done {
		return code
	}
	return m.Run()
}

// self is this executable started again for another job.
func self(verb, argument string) *exec.Cmd {
	return exec.Command("/proc/self/exe", verb, argument)
}
