package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/kedge-io/kedge/internal/paths"
	"github.com/kedge-io/kedge/server/datastore"
	"github.com/kedge-io/kedge/server/datastore/snapshot"
)

// Offer returns what names the last good snapshot in dir and the command that
// restores it, for when the database is damaged or gone. The file is read whole
// before it is offered. It is "" if there is none of this cluster.
func Offer(layout paths.Layout, dir string) func(context.Context) string {
	return func(ctx context.Context) string {
		token, err := snapshot.ReadToken(layout.RecoveryToken())
		if err != nil {
			return ""
		}
		entries, err := snapshot.List(dir)
		if err != nil {
			return ""
		}
		for _, e := range entries {
			if e.Good() && e.Manifest.Recovery == token.ID() && verify(ctx, e.Location) == nil {
				return fmt.Sprintf("The last good snapshot is %s of %s with %d objects, restore it by: kedge snapshot restore %s",
					e.File, e.Manifest.Time.UTC().Format(time.RFC3339), e.Manifest.ObjectCount(), restoreArguments(layout, dir, e.File))
			}
		}
		return ""
	}
}

func verify(ctx context.Context, path string) error {
	a, err := snapshot.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(a.Verify(ctx), a.Close())
}

// restoreArguments are what a person must type, options that have other than
// their usual values included.
func restoreArguments(layout paths.Layout, dir, file string) string {
	args := file
	if layout.DataDir != paths.DefaultDataDir {
		args += " --data-dir " + layout.DataDir
	}
	if dir != layout.Snapshots() {
		args += " --snapshot-dir " + dir
	}
	return args
}

// DatastoreHandlers answer for kedge datastore at the status socket.
func (s *Server) DatastoreHandlers() map[string]http.Handler { return s.store.Handlers() }

// DatastoreFiles is the configuration of the SQLite databases of a server that
// does not run. The log is left to the caller.
func DatastoreFiles(layout paths.Layout, snapshots string) datastore.Config {
	return datastore.Config{
		Path: layout.Database(), BegunPath: layout.DatabaseBegun(), SocketDir: layout.RunDir,
		VolatileDir: datastore.VolatileDir(layout.RunDir), Offer: Offer(layout, snapshots),
	}
}
