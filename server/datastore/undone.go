package datastore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/kedge-io/kedge/internal/wire"
)

// restoredKey is written where a restored database begins, with the stretches of
// history that restores have undone so far, as JSON. It lies outside of
// /registry, where the API server would find it. It is in the database, because
// it must go where that goes: into the snapshots that are made later.
const restoredKey = "/kedge/datastore/restored"

// maxUndone bounds the restores that are remembered; the latest stay.
const maxUndone = 64

// Undone tells what restores have undone, see [wire.Restores]. It is known once
// the component is ready, and stays empty with an external datastore.
func (s *Store) Undone() wire.Restores {
	s.mu.Lock()
	defer s.mu.Unlock()
	return wire.Restores{Undone: slices.Clone(s.undone)}
}

// learnUndone reads what restores have undone before this start.
func (s *Store) learnUndone(ctx context.Context, durable *instance) error {
	undone, err := readUndone(ctx, durable.own)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.undone = undone
	return err
}

// querier is a database or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// readUndone returns nothing for a database that was never restored, or by a
// kedge that noted nothing but the time.
func readUndone(ctx context.Context, db querier) ([]wire.Stretch, error) {
	var text []byte
	err := db.QueryRowContext(ctx, "SELECT value FROM kine WHERE name = ? ORDER BY id DESC LIMIT 1", restoredKey).Scan(&text)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("read what restores have undone: %w", err)
	}
	var undone []wire.Stretch
	if json.Unmarshal(text, &undone) != nil {
		return nil, nil
	}
	return undone, nil
}

// undoing is the value of restoredKey of a database that holds what was there at
// revision last, where it begins again at revision base.
func undoing(ctx context.Context, db querier, last, base int64) ([]byte, error) {
	undone, err := readUndone(ctx, db)
	if err != nil {
		return nil, err
	}
	undone = append(undone, wire.Stretch{After: last, Before: base})
	return json.Marshal(undone[max(0, len(undone)-maxUndone):])
}
