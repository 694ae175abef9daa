package slots

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// LockName is the file in the folder of the slots that writers lock.
const LockName = ".lock"

// Locked runs f while this process holds the lock of dir, which it creates. It
// waits for another holder until ctx ends. The kernel drops the lock of a
// process that dies.
func Locked(ctx context.Context, dir string, f func() error) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(dir, LockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := flock(ctx, file); err != nil {
		return err
	}
	return f()
}

func flock(ctx context.Context, file *os.File) error {
	const again = 50 * time.Millisecond
	tick := time.NewTicker(again)
	defer tick.Stop()
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("lock %s: %w", file.Name(), err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("another process holds %s: %w", file.Name(), context.Cause(ctx))
		case <-tick.C:
		}
	}
}
