package store

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"time"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/internal/fsx"
)

const (
	// version is that of the file.
	version = 1
	// maxFile bounds the file, in bytes: a few hundred thousand prefixes.
	maxFile = 64 << 20
)

// ErrDamaged is wrapped by the error of a file that is there and cannot be
// believed.
var ErrDamaged = errors.New("the file is damaged")

// State is what is kept.
type State struct {
	// Revision is that of the ruleset.
	Revision uint64         `json:"revision"`
	Ruleset  *model.Ruleset `json:"ruleset"`
	// Facts are those that were in force with it.
	Facts model.Facts `json:"facts"`
	// Names are the addresses of DNS names as of then.
	Names map[string][]netip.Addr `json:"names,omitempty"`
	// Refused are host rules that cut the node off, the latest last.
	Refused []Refusal `json:"refused,omitempty"`
}

// Refusal is what was rolled back and is not tried again.
type Refusal struct {
	// Keys name the parts that were new, as package edgefw does.
	Keys []string `json:"keys"`
	// Revision is the one in which it came.
	Revision uint64    `json:"revision"`
	Reason   string    `json:"reason"`
	At       time.Time `json:"at"`
}

// envelope is the file.
type envelope struct {
	Version int             `json:"version"`
	SHA256  string          `json:"sha256"`
	State   json.RawMessage `json:"state"`
}

// Read returns what the file has. The error wraps [fs.ErrNotExist] where there is
// none, and [ErrDamaged] where it cannot be believed.
func Read(file string) (*State, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the firewall's last state: %w", err)
	}
	if err != nil {
		return nil, damaged(file, err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, damaged(file, err)
	}
	s, err := decode(data)
	if err != nil {
		return nil, damaged(file, err)
	}
	return s, nil
}

func damaged(file string, err error) error {
	return fmt.Errorf("firewall state %s: %w: %w", file, ErrDamaged, err)
}

func decode(data []byte) (*State, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("it is larger than %d bytes", maxFile)
	}
	var e envelope
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, err
	}
	if e.Version != version {
		return nil, fmt.Errorf("its version is %d, this program knows %d", e.Version, version)
	}
	if got := sum(e.State); got != e.SHA256 {
		return nil, fmt.Errorf("its content has the hash %s, it says %.64s", got, e.SHA256)
	}
	var s State
	if err := json.Unmarshal(e.State, &s); err != nil {
		return nil, err
	}
	if s.Ruleset == nil {
		return nil, errors.New("it has no ruleset")
	}
	return &s, nil
}

// Write replaces the file, and leaves it alone where it has that content. It
// reports whether it wrote.
func Write(file string, s *State) (bool, error) {
	data, err := encode(s)
	if err != nil {
		return false, fmt.Errorf("keep the firewall's state: %w", err)
	}
	wrote, err := fsx.WriteFileIfChanged(file, data, 0o600)
	if err != nil {
		return false, fmt.Errorf("keep the firewall's state: %w", err)
	}
	return wrote, nil
}

// encode writes the envelope by hand: what is hashed must be what is written.
func encode(s *State) ([]byte, error) {
	state, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	data := fmt.Appendf(nil, `{"version":%d,"sha256":%q,"state":`, version, sum(state))
	return append(append(data, state...), "}\n"...), nil
}

func sum(state []byte) string {
	h := sha256.Sum256(state)
	return hex.EncodeToString(h[:])
}
