package datastore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/kedge-io/kedge/internal/fsx"
)

// revisionsPerSecond are set aside for each second of the clock between two
// restores. SQLite takes some thousand writes a second at the very best.
const revisionsPerSecond = 1 << 20

// NewBase is the revision at which a restored database begins: above all that
// anybody can have seen of this cluster. known are revisions that are known to
// have been in use.
//
// What others saw of a history that was lost cannot be known, least of all
// when the same snapshot is restored twice, on two hosts. But each history
// begins at its restore with the time in seconds times 2^20 and grows by less
// than 2^20 a second, so a later one begins above all earlier ones. Where the
// clock is behind, 2^20 above the highest known one has to do. Below 2^53
// until the year 2242, for clients that count in floating point.
func NewBase(now time.Time, known ...int64) int64 {
	base := now.Unix() * revisionsPerSecond
	for _, k := range known {
		base = max(base, k+revisionsPerSecond)
	}
	return base
}

// Rewind makes the copy of a database at path, which nobody has open, begin
// again at revision base with the objects that it holds: whoever still watches
// from an earlier revision is told that it is compacted and lists again. It
// flushes the file at its end, not on the way, so after an error the copy is of
// no use. Beside it is left what [Check] needs; restored names the snapshot.
func Rewind(ctx context.Context, path string, base int64, restored string) error {
	w := newWitness()
	err := rewind(ctx, path, base, &w.Mark)
	if err != nil {
		return fmt.Errorf("begin database %s at revision %d: %w", path, base, err)
	}
	if exists(path + "-wal") {
		return fmt.Errorf("begin database %s at revision %d: somebody else has it open", path, base)
	}
	if err := flush(path); err != nil {
		return err
	}
	w.Revision, w.Restored, w.Announced = base, restored, true
	return w.closed(path)
}

// rewinding is what is done to the database, in this order. History goes
// whole: nobody can watch it any more, and kine would never look at it again.
// The new row keeps kine from taking the distance for a gap that it must fill,
// revision by revision.
var rewinding = []struct {
	sql  string
	args func(base int64, undone []byte) []any
}{
	{`DELETE FROM kine WHERE deleted != 0 OR id IN (
		SELECT prev_revision FROM kine WHERE name != 'compact_rev_key' AND prev_revision != 0)`, noArgs},
	{`UPDATE kine SET prev_revision = ? WHERE name = 'compact_rev_key'`, justBase},
	{`INSERT INTO kine(name, created, deleted, create_revision, prev_revision, lease, value)
		SELECT 'compact_rev_key', 1, 0, 0, ?, 0, '' WHERE NOT EXISTS (SELECT 1 FROM kine WHERE name = 'compact_rev_key')`, justBase},
	{`DELETE FROM kine WHERE name = ?`, func(int64, []byte) []any { return []any{restoredKey} }},
	{`INSERT INTO kine(id, name, created, deleted, create_revision, prev_revision, lease, value)
		VALUES (?, ?, 1, 0, 0, 0, 0, ?)`, func(base int64, undone []byte) []any {
		return []any{base, restoredKey, undone}
	}},
}

func noArgs(int64, []byte) []any          { return nil }
func justBase(base int64, _ []byte) []any { return []any{base} }

func rewind(ctx context.Context, path string, base int64, mark *int64) (err error) {
	db, err := openSQLite(ctx, path, false, "journal_mode=MEMORY", "synchronous=OFF")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if *mark, err = newMark(ctx, db); err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := rewindIn(ctx, tx, base); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func rewindIn(ctx context.Context, tx *sql.Tx, base int64) error {
	var last sql.NullInt64
	if err := tx.QueryRowContext(ctx, "SELECT MAX(id) FROM kine").Scan(&last); err != nil {
		return fmt.Errorf("read last revision: %w", err)
	}
	if last.Int64 >= base {
		return fmt.Errorf("it is at revision %d already", last.Int64)
	}
	undone, err := undoing(ctx, tx, last.Int64, base)
	if err != nil {
		return err
	}
	for _, step := range rewinding {
		if _, err := tx.ExecContext(ctx, step.sql, step.args(base, undone)...); err != nil {
			return err
		}
	}
	return nil
}

func flush(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("flush %s: %w", path, err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("flush %s: %w", path, err)
	}
	return fsx.SyncDir(filepath.Dir(path))
}

// Known are revisions that the database at path, or what is beside it, knows to
// have been in use, however damaged it is. volatileDir is that of
// [Config.VolatileDir].
func Known(ctx context.Context, path, volatileDir string) []int64 {
	var known []int64
	if n, err := (floor{path: filepath.Join(filepath.Dir(path), "volatile.rev")}).ceiling(); err == nil {
		known = append(known, n)
	}
	known = append(known, readLast(path).Revision)
	if w, err := readWitness(path); err == nil && w != nil {
		known = append(known, w.Revision)
		if n, err := readAcked(ackedFile(volatileDir), w.ID); err == nil {
			known = append(known, n)
		}
	}
	if n, err := lastRevision(ctx, path); err == nil {
		known = append(known, n)
	}
	return known
}

func lastRevision(ctx context.Context, path string) (last int64, err error) {
	if !exists(path) {
		return 0, nil
	}
	db, err := openSQLite(ctx, path, true)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.QueryRowContext(ctx, "SELECT COALESCE(MAX(id), 0) FROM kine").Scan(&last)
	return last, err
}

// Restored names the snapshot that the database at path is, as long as it was
// not used since; else it is empty.
func Restored(path string) string {
	w, err := readWitness(path)
	if err != nil || w == nil || w.State != stateClosed {
		return ""
	}
	return w.Restored
}
