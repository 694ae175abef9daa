package main

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"syscall"

	"github.com/kedge-io/kedge/internal/payload"
)

// errNoExec is the failure of a data directory on a file system that starts no
// programs.
var errNoExec = errors.New("the file system is mounted noexec: mount it without noexec, " +
	"or choose another place with --data-dir or KEDGE_DATA_DIR")

// mayTryNext tells whether another folder may do better: the user has no right
// to write to this one. A full disk or a damaged file is to be seen.
func mayTryNext(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) || errors.Is(err, errNoExec)
}

// explainPayload adds the remedy to the failures of the release file itself.
func explainPayload(err error) error {
	if errors.Is(err, payload.ErrNone) || errors.Is(err, payload.ErrDamaged) {
		return fmt.Errorf("%w: it was cut or changed on the way, fetch it again and compare it with sha256sums.txt", err)
	}
	return err
}

// checkArch refuses a payload for other machines than the launcher's: a release
// file that was put together wrongly.
func checkArch(t payload.Trailer) error {
	if t.Arch == runtime.GOARCH {
		return nil
	}
	return fmt.Errorf("this file holds a program for %s behind a launcher for %s: fetch kedge-linux-%s again", t.Arch, runtime.GOARCH, runtime.GOARCH)
}

// explainExec adds the remedy to a program that does not start.
func explainExec(err error, program string) error {
	switch {
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("start %s: %w: is its file system mounted noexec, or does a security module forbid it? Choose another place with --data-dir or KEDGE_DATA_DIR", program, err)
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Errorf("start %s: %w: this machine does not run programs for %s", program, err, runtime.GOARCH)
	case errors.Is(err, syscall.E2BIG):
		return fmt.Errorf("start %s: %w: arguments and environment together are too long", program, err)
	}
	return fmt.Errorf("start %s: %w", program, err)
}
