package datastore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

// acked keeps the last revision that a client was told of in a file on a
// memory file system: it outlives the death of the process, when every
// acknowledged write must be in the log, and ends with a power cut, when
// nothing can be known of it. One system call of 8 bytes per write.
type acked struct {
	mu   sync.Mutex
	f    *os.File
	last int64
}

// ackedFile lies beside the volatile database; empty when there is no memory
// file system.
func ackedFile(volatileDir string) string {
	if volatileDir == "" {
		return ""
	}
	return filepath.Join(volatileDir, "acknowledged")
}

// The file holds the database's ID, and after it the revision.
const ackedAt = 36

// readAcked returns zero when nothing is known of the database with this id.
func readAcked(path, id string) (int64, error) {
	if path == "" {
		return 0, nil
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the last acknowledged revision: %w", err)
	}
	if len(raw) < ackedAt+8 || string(raw[:ackedAt]) != id {
		return 0, nil
	}
	return int64(binary.BigEndian.Uint64(raw[ackedAt:])), nil //nolint:gosec // written from an int64
}

// keepAcked begins to keep revisions of the database with this id.
func keepAcked(path, id string, last int64) (*acked, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("keep the last acknowledged revision: %w", err)
	}
	// Made anew, so that a kill in between leaves the former or none.
	f, err := os.CreateTemp(filepath.Dir(path), ".acknowledged-*")
	if err != nil {
		return nil, fmt.Errorf("keep the last acknowledged revision: %w", err)
	}
	head := binary.BigEndian.AppendUint64([]byte(id), uint64(last)) //nolint:gosec // revisions are positive
	_, err = f.WriteAt(head, 0)
	if err = errors.Join(err, os.Rename(f.Name(), path)); err != nil {
		return nil, errors.Join(fmt.Errorf("keep the last acknowledged revision: %w", err), f.Close(), os.Remove(f.Name()))
	}
	return &acked{f: f, last: last}, nil
}

func (a *acked) note(revision int64) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if revision <= a.last {
		return
	}
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(revision)) //nolint:gosec // revisions are positive
	// On a memory that is full the older number stays, which is also true.
	if _, err := a.f.WriteAt(b[:], ackedAt); err == nil {
		a.last = revision
	}
}

func (a *acked) close() error {
	if a == nil {
		return nil
	}
	return a.f.Close()
}

// intercept notes the revisions of writes before their clients hear of them.
func (a *acked) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	resp, err := next(ctx, req)
	if err != nil {
		return resp, err
	}
	switch r := resp.(type) {
	case *etcdserverpb.TxnResponse:
		a.note(r.GetHeader().GetRevision())
	case *etcdserverpb.PutResponse:
		a.note(r.GetHeader().GetRevision())
	}
	return resp, err
}
