package datastore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Durability says what a power cut may take away. The death of the process
// never takes an acknowledged write, whichever is chosen.
type Durability string

const (
	// DurabilityFull puts each write on the disk before it is acknowledged.
	DurabilityFull Durability = "full"
	// DurabilityNormal syncs at checkpoints only: faster on slow flash, but a
	// power cut sets the cluster back by up to CheckpointEvery, and revisions
	// that clients have already seen are then given out a second time.
	DurabilityNormal Durability = "normal"
)

// Config is what an operator or the composing server decides. Zero values of
// optional fields mean the stated default.
type Config struct {
	// Path of the durable SQLite database, <data>/server/db/state.db.
	Path string
	// SocketDir gets the unix sockets of the etcd API; mode 0700 is enforced.
	SocketDir string
	// VolatileDir keeps the volatile database and must be on a tmpfs; see
	// [VolatileDir]. Empty: events and leases go to the durable database.
	VolatileDir string
	// Endpoint of an external datastore. Empty: SQLite. Schemes:
	// postgres, postgresql, mysql, nats, http, https (etcd), unix.
	Endpoint string
	// CAFile, CertFile and KeyFile secure the connection to Endpoint.
	CAFile, CertFile, KeyFile string
	// LockPath, when set, is locked while the component runs, so that a second
	// server on the same directory is refused. Leave empty when the process
	// already holds such a lock.
	LockPath string
	// BegunPath is a file outside of the folder of Path that is made once there
	// is a database. With it, a start that finds nothing at Path is refused, as
	// when a disk was not mounted. Empty: an empty cluster begins then.
	BegunPath string
	// Durability of the durable database; default [DurabilityFull].
	Durability Durability
	// Report gets a trouble that does not stop the datastore (compaction that
	// stalls, a write-ahead log that grows, a disk that fills) and nil when it
	// is over. Optional.
	Report func(error)
	// Offer names the last good snapshot and the command that restores it, in
	// one sentence, or returns "". It is called when the database is damaged or
	// gone. Optional.
	Offer func(context.Context) string
	// Log is required.
	Log *slog.Logger
}

// sqlSchemes are translated by kine, etcdSchemes are given to the apiserver.
var (
	sqlSchemes  = []string{"mysql", "nats", "postgres", "postgresql"}
	etcdSchemes = []string{"http", "https", "unix"}
)

// Validate returns all problems of c joined.
func (c Config) Validate() error {
	var errs []error
	if c.Log == nil {
		errs = append(errs, errors.New("datastore: no logger given"))
	}
	if !filepath.IsAbs(c.SocketDir) {
		errs = append(errs, fmt.Errorf("datastore: socket folder %q must be an absolute path", c.SocketDir))
	}
	if c.Endpoint != "" {
		errs = append(errs, validateEndpoint(c.Endpoint))
	} else {
		errs = append(errs, validatePath("database", c.Path))
	}
	if c.VolatileDir != "" {
		errs = append(errs, validatePath("volatile folder", c.VolatileDir))
	}
	if !slices.Contains([]Durability{"", DurabilityFull, DurabilityNormal}, c.Durability) {
		errs = append(errs, fmt.Errorf("datastore: durability %q is unknown: use %q or %q", c.Durability, DurabilityFull, DurabilityNormal))
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		errs = append(errs, errors.New("datastore: a client certificate and its key must be given together (--datastore-certfile, --datastore-keyfile)"))
	}
	return errors.Join(errs...)
}

func validatePath(what, path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("datastore: %s %q must be an absolute path", what, path)
	}
	// SQLite is given a URI, in which these three have a meaning.
	if strings.ContainsAny(path, "?#%") {
		return fmt.Errorf("datastore: %s %q must not contain ?, # or %%: choose another --data-dir", what, path)
	}
	return nil
}

// validateEndpoint looks at each comma-separated member but never prints what
// it was given beyond the scheme, because database URLs carry passwords.
func validateEndpoint(endpoint string) error {
	known := slices.Concat(sqlSchemes, etcdSchemes)
	members := strings.Split(endpoint, ",")
	if slices.Contains(sqlSchemes, scheme(endpoint)) {
		members = []string{endpoint}
	}
	for _, m := range members {
		s := scheme(m)
		if !slices.Contains(known, s) {
			return fmt.Errorf("--datastore-endpoint: scheme %q is not supported: use one of %s, as in postgres://USER:PASSWORD@HOST:5432/DATABASE", s, strings.Join(known, ", "))
		}
		if s == "http" || s == "https" {
			if u, err := url.Parse(m); err != nil || u.Host == "" {
				return fmt.Errorf("--datastore-endpoint: an %s member has no host: use https://HOST:2379", s)
			}
		}
	}
	return nil
}

func scheme(endpoint string) string {
	s, _, ok := strings.Cut(endpoint, "://")
	if !ok {
		return ""
	}
	return s
}

// VolatileDir returns the first of runDir and a folder of the same name below
// /dev/shm that would lie on a memory file system, or "" when neither does.
func VolatileDir(runDir string) string {
	for _, dir := range []string{runDir, filepath.Join("/dev/shm", filepath.Base(runDir))} {
		if inMemory(dir) {
			return filepath.Join(dir, "db")
		}
	}
	return ""
}

// inMemory looks at the nearest existing parent of dir.
func inMemory(dir string) bool {
	for {
		var st unix.Statfs_t
		err := unix.Statfs(dir, &st)
		if err == nil {
			return int64(st.Type) == unix.TMPFS_MAGIC || int64(st.Type) == unix.RAMFS_MAGIC
		}
		if dir == filepath.Dir(dir) {
			return false
		}
		dir = filepath.Dir(dir)
	}
}
