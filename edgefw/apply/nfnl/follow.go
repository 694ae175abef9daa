package nfnl

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Follow reads what comes to a listening socket until ctx ends, and then closes
// it. Each gets every message; its bytes are good until it returns. Lost is
// called when the kernel had to throw messages away, since nobody read in time.
func Follow(ctx context.Context, f *os.File, each func(h Header, body []byte), lost func()) error {
	stop := context.AfterFunc(ctx, func() { _ = f.Close() })
	defer func() {
		stop()
		_ = f.Close()
	}()
	buf := make([]byte, readSize)
	for {
		n, err := f.Read(buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS):
			lost()
		case err != nil && !errors.Is(err, unix.EINTR):
			return fmt.Errorf("reading what netfilter tells: %w", err)
		}
		for h, body := range Messages(buf[:max(n, 0)]) {
			each(h, body)
		}
	}
}
