package sources

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/fsx"
)

// content is what a source had when it was last read.
type content struct {
	// From is the address or ConfigMap that it was read from.
	From     string    `json:"from"`
	ETag     string    `json:"etag,omitempty"`
	Modified string    `json:"modified,omitempty"`
	Changed  time.Time `json:"changed"`
	// Prefixes are sorted and without repetitions; never changed in place.
	Prefixes []netip.Prefix `json:"prefixes"`
}

// store keeps what was read over a restart: one file for each source of a set.
type store struct {
	dir string
	log *slog.Logger
}

func (s store) path(set string, source v1alpha1.AddressSourceName) string {
	return filepath.Join(s.dir, set+"_"+string(source)+".json")
}

// load returns nil if there is nothing that can be read.
func (s store) load(set string, source v1alpha1.AddressSourceName) *content {
	raw, err := os.ReadFile(s.path(set, source))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	c := &content{}
	if err == nil {
		err = json.Unmarshal(raw, c)
	}
	if err != nil {
		s.log.Warn("the kept copy of an address list cannot be read, the next reading replaces it", "set", set, "source", source, "error", err)
		return nil
	}
	c.Prefixes = sorted(c.Prefixes)
	return c
}

func (s store) save(set string, source v1alpha1.AddressSourceName, c content) {
	raw, err := json.Marshal(c)
	if err == nil {
		err = os.MkdirAll(s.dir, 0o700)
	}
	if err == nil {
		err = fsx.WriteFile(s.path(set, source), raw, 0o600)
	}
	if err != nil { // it counts in memory, and is read again after a restart
		s.log.Warn("no copy of an address list was kept: after a restart without its source the set would be empty", "set", set, "source", source, "error", err)
	}
}

func (s store) remove(set string, sources ...v1alpha1.AddressSourceName) {
	for _, source := range sources {
		if err := os.Remove(s.path(set, source)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.log.Warn("the kept copy of an address list stays", "set", set, "source", source, "error", err)
		}
	}
}

// sweep removes copies of sets that are not wanted any more.
func (s store) sweep(wanted func(set string) bool) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("sweep copies of address lists: %w", err)
	}
	for _, e := range entries {
		// The names of sets have no underscore.
		if set, _, ok := strings.Cut(e.Name(), "_"); ok && !wanted(set) {
			if err := os.Remove(filepath.Join(s.dir, e.Name())); err != nil {
				return fmt.Errorf("sweep copies of address lists: %w", err)
			}
		}
	}
	return nil
}
