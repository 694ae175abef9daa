package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/internal/payload"
	"github.com/kedge-io/kedge/internal/slots"
)

const (
	// markerName is the file in a slot that says what was verified.
	markerName  = ".complete"
	programMode = 0o755
)

// program is the path of the program in slot id below the folder data.
func program(data, id string) string { return filepath.Join(data, id, "bin", "kedge") }

// slot is the place of one program below a folder of slots.
type slot struct {
	data string
	want payload.Trailer
}

func newSlot(data string, want payload.Trailer) slot {
	if abs, err := filepath.Abs(data); err == nil {
		data = abs
	}
	return slot{data: data, want: want}
}

func (s slot) dir() string     { return filepath.Join(s.data, s.want.ID()) }
func (s slot) program() string { return program(s.data, s.want.ID()) }

// ready returns nil when the slot holds the verified program, by its marker:
// reading 190 MB at every call of kubectl would cost more than the call.
func (s slot) ready() error {
	st, err := s.look()
	if err != nil {
		return err
	}
	marker, err := os.ReadFile(filepath.Join(s.dir(), markerName))
	if err != nil {
		return err
	}
	if string(marker) != s.marker(st) {
		return fmt.Errorf("%s was changed after it was unpacked", s.program())
	}
	return nil
}

// look refuses a file that somebody else than root and this user could have
// put there or could change.
func (s slot) look() (fs.FileInfo, error) {
	st, err := os.Lstat(s.program())
	if err != nil {
		return nil, err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	switch {
	case st.Mode() != programMode:
		return nil, fmt.Errorf("%s has the mode %v instead of %v", s.program(), st.Mode(), fs.FileMode(programMode))
	case !ok || sys.Uid != 0 && int(sys.Uid) != os.Geteuid():
		return nil, fmt.Errorf("%s belongs to another user", s.program())
	case st.Size() != s.want.Size:
		return nil, fmt.Errorf("%s has %d bytes instead of %d", s.program(), st.Size(), s.want.Size)
	}
	return st, nil
}

// marker is what was verified, and when it was last written.
func (s slot) marker(st fs.FileInfo) string {
	return fmt.Sprintf("%x %d %d\n", s.want.SHA256, st.Size(), st.ModTime().UnixNano())
}

// unpack makes the slot ready while it holds the folder's lock, and removes
// the slots of former versions that nobody uses.
func (s slot) unpack(ctx context.Context, p *payload.Payload) error {
	err := s.fill(ctx, p)
	if err == nil {
		return nil
	}
	return fmt.Errorf("unpack into %s: %w", s.data, slots.Remedy(err, s.want.Size))
}

func (s slot) fill(ctx context.Context, p *payload.Payload) error {
	if err := os.MkdirAll(s.data, 0o755); err != nil {
		return err
	}
	if err := s.executable(); err != nil {
		return err
	}
	return slots.Locked(ctx, s.data, func() error {
		if err := slots.RemoveTemporary(s.data); err != nil {
			return err
		}
		damage := s.verified()
		if damage == nil {
			return nil
		}
		if !errors.Is(damage, fs.ErrNotExist) {
			fmt.Fprintf(os.Stderr, "kedge: %v: unpacked again\n", damage)
		}
		err := slots.Fill(s.data, s.want.ID(), func(folder string) error { return s.write(ctx, folder, p) })
		if err == nil {
			s.sweep()
		}
		return err
	})
}

// verified returns nil when the slot holds the program: by its marker, or else
// by its content, which then gets a new marker (the folder may come from a
// backup).
func (s slot) verified() error {
	if s.ready() == nil {
		return nil
	}
	if _, err := s.look(); err != nil {
		return err
	}
	file, err := os.Open(s.program())
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return fmt.Errorf("read %s: %w", s.program(), err)
	}
	if [32]byte(hash.Sum(nil)) != s.want.SHA256 {
		return fmt.Errorf("%s is not the program that was unpacked", s.program())
	}
	return s.mark(s.dir())
}

// executable refuses a file system that starts no programs before anything is
// written to it.
func (s slot) executable() error {
	var st unix.Statfs_t
	if err := unix.Statfs(s.data, &st); err != nil {
		return err
	}
	if st.Flags&unix.ST_NOEXEC != 0 {
		return errNoExec
	}
	return nil
}

// write puts the program into folder, synced.
func (s slot) write(ctx context.Context, folder string, p *payload.Payload) error {
	bin := filepath.Join(folder, "bin")
	// The modes whatever the umask is: other users start the program too.
	if err := errors.Join(os.Mkdir(bin, 0o755), os.Chmod(bin, 0o755)); err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(bin, "kedge"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, programMode)
	if err != nil {
		return err
	}
	if err := reserve(file, s.want.Size); err != nil {
		return errors.Join(err, file.Close())
	}
	if err := p.Unpack(ctx, file); err != nil {
		_ = file.Close()
		return explainPayload(err)
	}
	if err := errors.Join(file.Chmod(programMode), file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := slots.SyncDir(bin); err != nil {
		return err
	}
	return s.mark(folder)
}

// reserve takes the room at once, so that a disk that has too little is not
// filled to its end while containers run on it.
func reserve(file *os.File, size int64) error {
	err := unix.Fallocate(int(file.Fd()), 0, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINTR) {
		return nil // the file system cannot, or a signal came: writing will tell
	}
	return err
}

// mark writes the marker into the slot's folder, which may have no name yet.
func (s slot) mark(folder string) error {
	st, err := os.Stat(filepath.Join(folder, "bin", "kedge"))
	if err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(folder, markerName), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = file.WriteString(s.marker(st))
	if err = errors.Join(err, file.Chmod(0o644), file.Sync(), file.Close()); err != nil {
		return err
	}
	return slots.SyncDir(folder)
}

// sweep removes the programs of other versions that no process executes. The
// slots of runtime bundles are the agent's, which knows the current one.
func (s slot) sweep() {
	programs, err := slots.Running("/proc")
	if err != nil {
		return // the next version's first start will do it
	}
	_, _ = slots.Sweep(s.data, func(other string) bool {
		_, err := os.Lstat(filepath.Join(other, "bin", "kedge"))
		return other == s.dir() || err != nil || programs.In(other)
	})
}
