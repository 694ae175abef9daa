//go:build cgo

package datastore

import (
	"errors"

	"github.com/mattn/go-sqlite3"
)

// driverName is registered by the driver that kine uses in this build.
const driverName = "sqlite3"

// DriverVersion names the SQLite driver of this build and SQLite's version.
func DriverVersion() string {
	v, _, _ := sqlite3.Version()
	return "mattn/go-sqlite3 (cgo), SQLite " + v
}

func isDamage(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && (e.Code == sqlite3.ErrCorrupt || e.Code == sqlite3.ErrNotADB)
}
