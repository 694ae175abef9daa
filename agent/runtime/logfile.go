package runtime

import (
	"fmt"
	"io"
	"os"
)

// maxLog bounds containerd's log in bytes; one former file of that size is
// kept beside it.
const maxLog = 8 << 20

// openLog opens path for appending, which containerd keeps as its standard
// output, after setting an overgrown one aside.
func openLog(path string) (*os.File, error) {
	if st, err := os.Stat(path); err == nil && st.Size() > maxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, fmt.Errorf("rotate log of containerd: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log of containerd: %w", err)
	}
	return f, nil
}

// trimLog does the same while containerd writes: its descriptor stays valid
// because it appends, so the content is copied aside and the file cut. Lines
// written in between are lost.
func trimLog(path string) error {
	st, err := os.Stat(path)
	if err != nil || st.Size() <= maxLog {
		return nil
	}
	in, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("rotate log of containerd: %w", err)
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(path+".1", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("rotate log of containerd: %w", err)
	}
	if _, err := io.Copy(out, in); err != nil {
		_ = out.Close()
		return fmt.Errorf("rotate log of containerd: %w", err)
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("rotate log of containerd: %w", err)
	}
	return os.Truncate(path, 0)
}
