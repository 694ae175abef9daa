package datastore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/kedge-io/kedge/internal/fsx"
)

// floorBlock revisions are reserved at a time: one small durable write for
// about as many volatile ones.
const floorBlock = 1 << 20

// floor keeps, on durable storage, a number that no revision of the volatile
// database has reached. When the memory file system is emptied the next
// database starts there, so a revision never names two different things and
// old watchers are told to list again instead of being fed the wrong future.
type floor struct{ path string }

// ceiling reads the reserved number; zero when there is none yet.
func (f floor) ceiling() (int64, error) {
	raw, err := os.ReadFile(f.path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read reserved revisions: %w", err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("reserved revisions in %s: %q is not a number: write one above every revision in use", f.path, strings.TrimSpace(string(raw)))
	}
	return n, nil
}

// reserve makes sure that at least half a block lies above revision.
func (f floor) reserve(revision int64) error {
	have, err := f.ceiling()
	if err != nil || have >= revision+floorBlock/2 {
		return err
	}
	next := strconv.FormatInt(revision+floorBlock, 10) + "\n"
	if err := fsx.WriteFile(f.path, []byte(next), 0o600); err != nil {
		return fmt.Errorf("reserve revisions: %w", err)
	}
	return nil
}

// base is the first revision of a fresh volatile database: above all that were
// reserved and above the durable database, which may have held these resources.
func (f floor) base(durableRevision int64) (int64, error) {
	have, err := f.ceiling()
	return max(have, durableRevision), err
}

// openVolatile opens the volatile database, made anew when it is missing or
// damaged, and reserves its revisions before the first one is given out.
func openVolatile(ctx context.Context, v, durable *instance, f floor) error {
	fresh := !exists(v.path)
	if !fresh {
		if err := checkSQLite(ctx, v.path, false); err != nil {
			v.log.Warn("volatile database is made anew: leases and events are lost", "path", v.path, "err", err)
			fresh = true
		}
	}
	var base int64
	if fresh {
		rev, err := durable.kine.CurrentRevision(ctx)
		if err != nil {
			return fmt.Errorf("read durable revision: %w", err)
		}
		if base, err = f.base(rev); err != nil {
			return err
		}
		if err := f.reserve(base); err != nil {
			return err
		}
		if err := v.removeFiles(); err != nil {
			return err
		}
		if err := createSQLite(ctx, v.path, v.tune.pageSize); err != nil {
			return err
		}
	}
	if err := v.open(ctx, base); err != nil {
		return err
	}
	rev, err := v.kine.CurrentRevision(ctx)
	if err != nil {
		return fmt.Errorf("read volatile revision: %w", err)
	}
	return f.reserve(rev)
}
