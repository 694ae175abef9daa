package nethost

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFirstThreadOfTheProcessIsNeverTakenAway(t *testing.T) {
	for range 20 * runtime.GOMAXPROCS(0) {
		OnThread(func() {
			if unix.Gettid() == unix.Getpid() {
				t.Error("f runs on the first thread")
			}
		})
	}
}
