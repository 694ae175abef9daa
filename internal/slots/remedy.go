package slots

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Remedy adds to a failure of the file system what a person can do about it.
// size is how many bytes were to be written.
func Remedy(err error, size int64) error {
	const elsewhere = "choose another place with --data-dir or KEDGE_DATA_DIR"
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: free at least %d MiB there or %s", err, size>>20+1, elsewhere)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: mount it writable or %s", err, elsewhere)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%w: run kedge as root or %s", err, elsewhere)
	}
	return err
}
