package snapshot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/kedge-io/kedge/internal/wire"
)

const (
	// DefaultRetention is how many scheduled snapshots are kept: two days of them.
	DefaultRetention = 8
	// DefaultSchedule is how often one is made.
	DefaultSchedule = "6h"
	// maxRetention keeps a typing error from filling disks.
	maxRetention = 1000
)

// Settings are what an operator decides.
type Settings struct {
	// Dir is the folder of snapshots, an absolute path.
	Dir string
	// Name begins the names of scheduled ones.
	Name     string
	Schedule Schedule
	// Retention is how many scheduled ones are kept, at least 1.
	Retention int
}

// Validate returns all problems of s joined.
func (s Settings) Validate() error {
	errs := []error{CheckName(s.Name)}
	if s.Name == OnDemand {
		errs = append(errs, fmt.Errorf("--snapshot-name %s is the name of those that people ask for: choose another", OnDemand))
	}
	if !filepath.IsAbs(s.Dir) {
		errs = append(errs, fmt.Errorf("--snapshot-dir %q must be an absolute path", s.Dir))
	}
	// SQLite is given a URI, in which these three have a meaning.
	if strings.ContainsAny(s.Dir, "?#%") {
		errs = append(errs, fmt.Errorf("--snapshot-dir %q must not contain ?, # or %%", s.Dir))
	}
	if s.Retention < 1 || s.Retention > maxRetention {
		errs = append(errs, fmt.Errorf("--snapshot-retention %d is not between 1 and %d: use --snapshot-schedule off for no scheduled snapshots", s.Retention, maxRetention))
	}
	return errors.Join(errs...)
}

// Versions are those of the program that saves.
type Versions struct{ Kedge, Kubernetes, SQLite string }

// Config is what a [Manager] works with.
type Config struct {
	Settings
	// Node is the server's name.
	Node string
	// Server is <data>/server, whose keys and manifests are saved.
	Server string
	// Database is the SQLite file; Token the file with the recovery token.
	Database, Token string
	// External is the kind of an external datastore, "postgres" for instance,
	// which is not saved here; empty for SQLite.
	External string
	// Copy makes a checked copy of the database at source in the new file target.
	Copy func(ctx context.Context, source, target string) (Facts, error)
	// Pin is that of the server authority.
	Pin func() (wire.Pin, error)
	// Remote keeps copies elsewhere; nil for none.
	Remote   Remote
	Versions Versions
	// Now is the wall clock; [time.Now] if it is nil.
	Now func() time.Time
	// Report gets the trouble of scheduled snapshots, nil when it is over; nil for
	// nobody.
	Report func(error)
	Log    *slog.Logger
}

// Remote is a place for further copies of snapshots.
type Remote interface {
	// Upload keeps the file at path under its own name, whole or not at all.
	Upload(ctx context.Context, path string) error
	// List returns what is there and begins with prefix, as [List] does.
	List(ctx context.Context, prefix string) ([]Entry, error)
	// Delete removes a file; one that is not there is no error.
	Delete(ctx context.Context, file string) error
}

// ErrExternal tells that there is no SQLite to save.
var ErrExternal = errors.New("the cluster is kept in an external datastore, which kedge does not save: use its own backup, and keep a copy of the server's folder tls and of cred/encryption-config.yaml with it")
