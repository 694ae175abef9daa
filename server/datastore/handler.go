package datastore

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// Paths at the status socket.
const (
	PathStat    = "/datastore/stat"
	PathCheck   = "/datastore/check"
	PathCompact = "/datastore/compact"
)

// handlerTimeout bounds what a person has asked for.
const handlerTimeout = 10 * time.Minute

// ErrExternal tells that there is no SQLite database.
var ErrExternal = errors.New("the cluster is kept in an external datastore: look at it with its own tools")

var errNotOpen = errors.New("the database is not open yet: try again when the server is ready (kedge status --wait 2m)")

// Handlers answer for kedge datastore, by path, for the status socket.
func (s *Store) Handlers() map[string]http.Handler {
	return map[string]http.Handler{
		PathStat: s.handler(http.MethodGet, func(ctx context.Context) (any, error) {
			stats, err := s.Stat(ctx)
			if err == nil && len(stats) == 0 {
				err = errNotOpen
			}
			return stats, err
		}),
		PathCheck: s.handler(http.MethodGet, func(ctx context.Context) (any, error) {
			return s.CheckRunning(ctx)
		}),
		PathCompact: s.handler(http.MethodPost, func(ctx context.Context) (any, error) { return s.Compact(ctx, false) }),
	}
}

func (s *Store) handler(method string, answer func(context.Context) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), handlerTimeout)
		defer cancel()
		result, err := any(nil), ErrExternal
		if s.cfg.Endpoint == "" {
			result, err = answer(ctx)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(result) // the client is gone: nobody to tell
	})
}

// CheckRunning has SQLite check the durable database while it is used. It reads
// one moment of it, which holds up no writer, only the log's being emptied.
func (s *Store) CheckRunning(ctx context.Context) (Finding, error) {
	stats, err := s.Stat(ctx)
	if err != nil {
		return Finding{}, err
	}
	if len(stats) == 0 {
		return Finding{}, errNotOpen
	}
	begin := time.Now()
	err = checkSQLite(ctx, stats[0].Path, true)
	if errors.Is(err, ErrDamaged) && s.cfg.Offer != nil {
		err = advise(stats[0].Path, s.cfg.Offer(ctx), err)
	}
	return Finding{Revision: stats[0].Revision, Bytes: stats[0].Bytes, Took: time.Since(begin)}, err
}
