package datastore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/kedge-io/kedge/internal/fsx"
)

// ErrDamaged marks a database whose content SQLite itself calls damaged.
var ErrDamaged = errors.New("database is damaged")

// applicationID is written into the header of databases that kedge made: the
// letters "kedg" (https://www.sqlite.org/pragma.html#pragma_application_id).
const applicationID = 0x6b656467

// openSQLite opens path with one connection. The pragmas are applied in order.
func openSQLite(ctx context.Context, path string, readOnly bool, pragmas ...string) (*sql.DB, error) {
	dsn := "file:" + path + "?mode=rw"
	if readOnly {
		dsn = "file:" + path + "?mode=ro"
	}
	db, err := sql.Open(driverName, dsn)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	for _, p := range append([]string{"busy_timeout=2000"}, pragmas...) {
		if _, err := db.ExecContext(ctx, "PRAGMA "+p); err != nil {
			return nil, errors.Join(fmt.Errorf("open database %s: set %s: %w", path, p, err), db.Close())
		}
	}
	return db, nil
}

// createSQLite makes an empty database at path in one step: a crash leaves
// either none or a whole one, so that an empty file always means damage.
func createSQLite(ctx context.Context, path string, pageSize int) error {
	fresh := path + ".new"
	for _, f := range []string{fresh, fresh + "-wal", fresh + "-shm", fresh + "-journal"} {
		if err := os.Remove(f); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("create database %s: %w", path, err)
		}
	}
	f, err := os.OpenFile(fresh, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("create database %s: %w", path, err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("create database %s: %w", path, err)
	}
	// Both settings can only be chosen before the first page is written.
	db, err := openSQLite(ctx, fresh, false,
		fmt.Sprintf("page_size=%d", pageSize), "auto_vacuum=INCREMENTAL", "synchronous=FULL",
		fmt.Sprintf("application_id=%d", applicationID))
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return fmt.Errorf("create database %s: %w", path, err)
	}
	if err := os.Rename(fresh, path); err != nil {
		return fmt.Errorf("create database %s: %w", path, err)
	}
	return fsx.SyncDir(filepath.Dir(path))
}

// checkSQLite reads the database at path without changing it and returns an
// error that wraps [ErrDamaged] when SQLite finds damage. Full also compares
// every index with its table.
func checkSQLite(ctx context.Context, path string, full bool) error {
	st, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("check database: %w", err)
	}
	if st.Size() == 0 {
		return damaged(path, []string{"the file is empty"})
	}
	found, err := findDamage(ctx, path, full)
	if err != nil {
		if isDamage(err) {
			return damaged(path, []string{err.Error()})
		}
		return fmt.Errorf("check database %s: %w", path, err)
	}
	if len(found) > 0 {
		return damaged(path, found)
	}
	return nil
}

func findDamage(ctx context.Context, path string, full bool) (found []string, err error) {
	db, err := openSQLite(ctx, path, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	pragma := "PRAGMA quick_check(20)"
	if full {
		pragma = "PRAGMA integrity_check(20)"
	}
	rows, err := db.QueryContext(ctx, pragma)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return nil, err
		}
		found = append(found, problems(line)...)
	}
	return found, rows.Err()
}

// problems are the lines of one answer of SQLite's that name a problem: with
// damaged pages it puts all of them, below a heading, into one answer.
func problems(answer string) []string {
	var found []string
	for line := range strings.Lines(answer) {
		if line = strings.TrimSpace(line); line != "" && line != "ok" && !strings.HasPrefix(line, "***") {
			found = append(found, line)
		}
	}
	return found
}
