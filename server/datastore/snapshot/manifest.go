package snapshot

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/kedge-io/kedge/internal/wire"
)

// Format is the version of the file format that this program writes; it reads
// all up to it.
const Format = 1

// The parts of a snapshot, in the order of the file.
const (
	partManifest = "manifest.json"
	partDatabase = "state.db"
	partIdentity = "identity.age"
)

// ErrDamaged is wrapped by the errors about a file that is no whole snapshot:
// cut, changed, or something else altogether.
var ErrDamaged = errors.New("not a whole snapshot")

// ErrNewer is wrapped by the error about a snapshot whose format this program does
// not know yet.
var ErrNewer = errors.New("it was made by a newer kedge")

// Manifest says what is in a snapshot. It is not secret.
type Manifest struct {
	Format int `json:"format"`
	// Cluster is the pin of the server authority when the snapshot was made, 64
	// hexadecimal digits. It changes when that authority is replaced.
	Cluster string `json:"cluster"`
	// Recovery is [Token.ID] of the token that opens the identity. It stays for
	// the life of a cluster, so it is what tells clusters apart.
	Recovery string `json:"recovery"`
	// Node is the server that was saved, Name the first part of the file's name.
	Node string `json:"node"`
	Name string `json:"name"`
	// Time is when the database was copied, by the clock of that server.
	Time       time.Time `json:"time"`
	Kedge      string    `json:"kedge"`
	Kubernetes string    `json:"kubernetes"`
	SQLite     string    `json:"sqlite"`
	Facts
	// Parts are the others in the order of the file.
	Parts []Part `json:"parts"`
}

// Facts are what the copy of a database holds.
type Facts struct {
	// Revision is the highest that was ever given out, CompactRevision the one
	// up to which history is gone.
	Revision        int64 `json:"revision"`
	CompactRevision int64 `json:"compactRevision"`
	// Objects counts those that live, by the folder below /registry in which the
	// API keeps them: "pods", "services/specs", "edge.kedge.io/edgefirewalls".
	Objects map[string]int `json:"objects"`
}

// Part is one file of the archive.
type Part struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// ObjectCount is the number of all objects.
func (f Facts) ObjectCount() int {
	sum := 0
	for _, n := range f.Objects {
		sum += n
	}
	return sum
}

// Newer tells whether m holds a later state than o. Revisions of one cluster
// only grow, while clocks are set back; so time decides between equals alone.
func (m Manifest) Newer(o Manifest) bool {
	if m.Revision != o.Revision {
		return m.Revision > o.Revision
	}
	return m.Time.After(o.Time)
}

// DatabaseBytes is the size of the database in the snapshot, unpacked.
func (m Manifest) DatabaseBytes() int64 { return m.part(partDatabase).Bytes }

func (m Manifest) part(name string) Part {
	for _, p := range m.Parts {
		if p.Name == name {
			return p
		}
	}
	return Part{}
}

// maxManifest bounds manifest.json, in bytes: a cluster has hundreds of kinds of
// objects, not ten thousand.
const maxManifest = 1 << 20

func parseManifest(raw []byte) (Manifest, error) {
	var m Manifest
	var version struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(raw, &version); err != nil {
		return m, fmt.Errorf("%w: its manifest cannot be read: %w", ErrDamaged, err)
	}
	if version.Format > Format {
		return m, fmt.Errorf("%w: it has format %d and this one reads up to %d: use the newer one", ErrNewer, version.Format, Format)
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, fmt.Errorf("%w: its manifest cannot be read: %w", ErrDamaged, err)
	}
	return m, m.check()
}

func (m Manifest) check() error {
	if _, err := wire.ParsePin(m.Cluster); err != nil {
		return fmt.Errorf("%w: its manifest names no cluster", ErrDamaged)
	}
	if m.Format < 1 || m.Revision < 0 || len(m.Parts) != 2 || m.Parts[0].Name != partDatabase || m.Parts[1].Name != partIdentity {
		return fmt.Errorf("%w: its manifest lacks what every snapshot has", ErrDamaged)
	}
	for _, p := range m.Parts {
		if p.Bytes <= 0 || len(p.SHA256) != 64 {
			return fmt.Errorf("%w: its manifest says nothing of %s", ErrDamaged, p.Name)
		}
	}
	return nil
}
