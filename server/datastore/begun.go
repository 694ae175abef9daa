package datastore

import (
	"fmt"
	"path/filepath"

	"github.com/kedge-io/kedge/internal/fsx"
)

// begunText is for people who find the file.
const begunText = `A database was begun in the folder db beside this file, or where that folder leads.
With this file, and without a database there, kedge does not begin an empty
cluster: the disk may not be mounted. Remove it to begin one on purpose.
`

// noteBegun marks, outside of the database's folder, that there is a database.
// The mark is written once. A server that cannot write it works on without.
func (s *Store) noteBegun() {
	mark := s.cfg.BegunPath
	if mark == "" || exists(mark) {
		return
	}
	if err := fsx.WriteFile(mark, []byte(begunText), 0o600); err != nil {
		s.cfg.Log.Warn("it is not marked that there is a database: one that vanishes with its folder will not be missed", "path", mark, "error", err)
	}
}

// begun tells that there was a database, whatever its folder holds now.
func (c Config) begun() bool { return c.BegunPath != "" && exists(c.BegunPath) }

// vanished is the error about a database of which nothing is left. offer is as
// in [advise].
func (c Config) vanished(offer string) error {
	dir := filepath.Dir(c.Path)
	empty := "kedge reset"
	if offer == "" {
		offer = "There is no snapshot on this host; one that is kept elsewhere is restored by kedge snapshot restore FILE"
		empty += ", or remove " + c.BegunPath
	}
	return fmt.Errorf("%w. Is the disk of %s not mounted? Then mount it and start again. Nothing was changed. %s. To begin an empty cluster on purpose: %s",
		lossOf(c.Path, "the file is missing, and all that belongs to it"), dir, offer, empty)
}
