//go:build cgo

package datastore

import "database/sql"

// reopen changes nothing: mattn's driver keeps prepared statements itself.
func reopen(old *sql.DB, _ string, _ []string) (*sql.DB, error) { return old, nil }
