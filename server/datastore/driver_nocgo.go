//go:build !cgo

package datastore

import (
	"errors"

	"modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"
)

// driverName is registered by the driver that kine uses in this build.
const driverName = "sqlite"

// DriverVersion names the SQLite driver of this build and SQLite's version.
func DriverVersion() string {
	return "modernc.org/sqlite (pure Go), SQLite " + sqlitelib.SQLITE_VERSION
}

func isDamage(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	primary := e.Code() & 0xff
	return primary == sqlitelib.SQLITE_CORRUPT || primary == sqlitelib.SQLITE_NOTADB
}
