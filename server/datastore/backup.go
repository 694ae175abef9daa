package datastore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/server/datastore/snapshot"
)

// copyStep is how many pages are copied without a pause: 1 MiB.
const copyStep = 256

// maxCopyPause bounds a pause, so that a disk that was slow once does not make
// the copy last for ever.
const maxCopyPause = 100 * time.Millisecond

// Copy makes a copy of the database at source in the new file at target, whether
// a server is using it or not, has SQLite check all of the copy, and says what it
// holds. The error wraps [ErrDamaged] when damage was found; then, as after any
// error, the file at target is of no use.
//
// The copy is one moment of the database: it is made inside of one read
// transaction, which in WAL mode holds up no writer, and of all online ways it
// costs least (SQLite's backup API, https://www.sqlite.org/backup.html). After
// each MiB it pauses for as long as that took, so writers on one slow core or one
// slow disk have at least half of it. The copy is not flushed: who keeps it
// flushes it, who packs it deletes it before the kernel has written most of it.
func Copy(ctx context.Context, source, target string) (snapshot.Facts, error) {
	if err := copyOnline(ctx, source, target); err != nil {
		if isDamage(err) {
			err = fmt.Errorf("%w: %s: %w", ErrDamaged, source, err)
		}
		return snapshot.Facts{}, fmt.Errorf("copy database: %w", err)
	}
	if err := settle(ctx, target); err != nil {
		return snapshot.Facts{}, err
	}
	found, err := findDamage(ctx, target, true)
	if isDamage(err) {
		found, err = []string{err.Error()}, nil
	}
	if err != nil {
		return snapshot.Facts{}, fmt.Errorf("check copy of the database: %w", err)
	}
	if len(found) > 0 {
		return snapshot.Facts{}, fmt.Errorf("%w: a copy of %s fails SQLite's check: %s", ErrDamaged, source, found[0])
	}
	return readFacts(ctx, target)
}

func copyOnline(ctx context.Context, source, target string) (err error) {
	// SQLite would take an empty file for an empty database.
	if st, err := os.Stat(source); err != nil {
		return err
	} else if st.Size() == 0 {
		return fmt.Errorf("%w: %s: the file is empty", ErrDamaged, source)
	}
	f, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	db, err := openSQLite(ctx, source, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	// Without a transaction around it, the copy would begin again whenever
	// somebody writes. The first read fixes the moment.
	if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
		return err
	}
	var n int
	if err := conn.QueryRowContext(ctx, "SELECT COUNT(*) FROM sqlite_schema").Scan(&n); err != nil {
		return err
	}
	begin := time.Now()
	err = copyPages(ctx, conn, target, func() error {
		pause := min(time.Since(begin), maxCopyPause)
		if !lifecycle.Pause(ctx, pause) {
			return ctx.Err()
		}
		begin = time.Now()
		return nil
	})
	_, rerr := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
	return errors.Join(err, rerr)
}

// settle makes the database at path one file that needs no log beside it.
func settle(ctx context.Context, path string) error {
	db, err := openSQLite(ctx, path, false, "synchronous=OFF", "locking_mode=EXCLUSIVE", "journal_mode=DELETE")
	if err != nil {
		return fmt.Errorf("settle copy of the database: %w", err)
	}
	return db.Close()
}

func readFacts(ctx context.Context, path string) (_ snapshot.Facts, err error) {
	f := snapshot.Facts{Objects: map[string]int{}}
	db, err := openSQLite(ctx, path, true)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	const revisions = `SELECT
		MAX((SELECT COALESCE(MAX(seq), 0) FROM sqlite_sequence WHERE name = 'kine'), (SELECT COALESCE(MAX(id), 0) FROM kine)),
		(SELECT COALESCE(MAX(prev_revision), 0) FROM kine WHERE name = 'compact_rev_key')`
	if err := db.QueryRowContext(ctx, revisions).Scan(&f.Revision, &f.CompactRevision); err != nil {
		return f, fmt.Errorf("read revisions of the copy: %w", err)
	}
	// SQLite takes deleted from the row that has the maximum
	// (https://www.sqlite.org/lang_select.html#bareagg).
	rows, err := db.QueryContext(ctx, "SELECT name, MAX(id), deleted FROM kine WHERE name >= '/registry/' AND name < '/registry0' GROUP BY name")
	if err != nil {
		return f, fmt.Errorf("count objects of the copy: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	return f, countObjects(rows, f.Objects)
}

func countObjects(rows *sql.Rows, into map[string]int) error {
	for rows.Next() {
		var name string
		var id int64
		var deleted bool
		if err := rows.Scan(&name, &id, &deleted); err != nil {
			return fmt.Errorf("count objects of the copy: %w", err)
		}
		if !deleted {
			into[resourceOf(name)]++
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("count objects of the copy: %w", err)
	}
	return nil
}

// resourceOf is the folder of a key: /registry/RESOURCE/..., and for services and
// custom resources, whose first word is a group, /registry/GROUP/RESOURCE/...
func resourceOf(key string) string {
	words := strings.SplitN(strings.TrimPrefix(key, "/registry/"), "/", 3)
	if len(words) > 2 && (words[0] == "services" || strings.Contains(words[0], ".")) {
		return words[0] + "/" + words[1]
	}
	return words[0]
}
