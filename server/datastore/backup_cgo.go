//go:build cgo

package datastore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/mattn/go-sqlite3"
)

// copyPages copies what conn sees into the file at path, copyStep pages at a time
// with what between has to do in between.
func copyPages(ctx context.Context, conn *sql.Conn, path string, between func() error) error {
	return conn.Raw(func(driver any) (err error) {
		source, ok := driver.(*sqlite3.SQLiteConn)
		if !ok {
			return fmt.Errorf("the SQLite driver %T copies nothing", driver)
		}
		opened, err := (&sqlite3.SQLiteDriver{}).Open("file:" + path + "?_journal_mode=OFF&_synchronous=OFF")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, opened.Close()) }()
		b, err := opened.(*sqlite3.SQLiteConn).Backup("main", source, "main")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, b.Finish()) }()
		for {
			done, err := b.Step(copyStep)
			if err != nil || done {
				return err
			}
			if err := errors.Join(ctx.Err(), between()); err != nil {
				return err
			}
		}
	})
}
