//go:build !cgo

package datastore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"modernc.org/sqlite"
)

// copyPages copies what conn sees into the file at path, copyStep pages at a time
// with what between has to do in between.
func copyPages(ctx context.Context, conn *sql.Conn, path string, between func() error) error {
	return conn.Raw(func(driver any) (err error) {
		source, ok := driver.(interface {
			NewBackup(uri string) (*sqlite.Backup, error)
		})
		if !ok {
			return fmt.Errorf("the SQLite driver %T copies nothing", driver)
		}
		b, err := source.NewBackup("file:" + path + "?_pragma=journal_mode(OFF)&_pragma=synchronous(OFF)")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, b.Finish()) }()
		for {
			more, err := b.Step(copyStep)
			if err != nil || !more {
				return err
			}
			if err := errors.Join(ctx.Err(), between()); err != nil {
				return err
			}
		}
	})
}
