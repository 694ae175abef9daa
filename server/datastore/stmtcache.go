//go:build !cgo

package datastore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
)

// maxStatements is kept per connection; kine has some thirty different ones.
const maxStatements = 64

// reopen gives kine connections that keep their prepared statements. kine asks
// the driver to do so and mattn's does; modernc's prepares each statement anew,
// which is nine tenths of the time of a read (ADR 0002).
func reopen(old *sql.DB, path string, pragmas []string) (*sql.DB, error) {
	dsn := "file://" + path + "?_txlock=immediate"
	for _, p := range pragmas {
		dsn += "&_pragma=" + p
	}
	db := sql.OpenDB(&cachingConnector{driver: old.Driver(), dsn: dsn})
	if err := db.Ping(); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), db.Close())
	}
	return db, nil
}

type cachingConnector struct {
	driver driver.Driver
	dsn    string
}

func (c *cachingConnector) Driver() driver.Driver { return c.driver }

func (c *cachingConnector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.dsn)
	if err != nil {
		return nil, err
	}
	full, ok := conn.(fullConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("driver %T lacks an interface that database/sql needs", c.driver), conn.Close())
	}
	return &cachingConn{fullConn: full, statements: map[string]*cachedStmt{}}, nil
}

// fullConn is what modernc's connection offers to database/sql.
type fullConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// cachingConn is used by one goroutine at a time, as database/sql promises.
type cachingConn struct {
	fullConn
	statements map[string]*cachedStmt
}

type cachedStmt struct {
	driver.Stmt
	busy bool // its rows are still being read
}

// statement returns nil when the query must go the ordinary way.
func (c *cachingConn) statement(ctx context.Context, query string) (*cachedStmt, error) {
	s, ok := c.statements[query]
	if !ok && len(c.statements) < maxStatements {
		prepared, err := c.PrepareContext(ctx, query)
		if err != nil {
			return nil, err
		}
		s = &cachedStmt{Stmt: prepared}
		c.statements[query] = s
	}
	if s == nil || s.busy {
		return nil, nil
	}
	return s, nil
}

// ExecContext is part of driver.ExecerContext. Statements without arguments
// are not kept: pragmas and schema changes, which run once.
func (c *cachingConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if len(args) == 0 {
		return c.fullConn.ExecContext(ctx, query, args)
	}
	s, err := c.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.fullConn.ExecContext(ctx, query, args)
	}
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

// QueryContext is part of driver.QueryerContext.
func (c *cachingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.fullConn.QueryContext(ctx, query, args)
	}
	rows, err := s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
	if err != nil {
		return nil, err
	}
	s.busy = true
	return &cachedRows{Rows: rows, stmt: s}, nil
}

// Close ends the statements before their connection.
func (c *cachingConn) Close() error {
	var errs []error
	for _, s := range c.statements {
		errs = append(errs, s.Close())
	}
	c.statements = nil
	return errors.Join(append(slices.Clip(errs), c.fullConn.Close())...)
}

type cachedRows struct {
	driver.Rows
	stmt *cachedStmt
}

func (r *cachedRows) Close() error {
	r.stmt.busy = false
	return r.Rows.Close()
}
