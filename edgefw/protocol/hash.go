package protocol

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/kedge-io/kedge/edgefw/model"
)

// Hash is the sha256 of the canonical bytes of a part, or of a manifest.
type Hash [sha256.Size]byte

// String is the hash in hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(h)) {
		return fmt.Errorf("a hash has %d digits, not %d", hex.EncodedLen(len(h)), len(text))
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// HashOf is the hash of the canonical bytes of a part.
func HashOf(body []byte) Hash { return sha256.Sum256(body) }

// HashHost is the hash of the host's rules.
func HashHost(rules model.HostRules) (Hash, error) { return hashed(EncodeHost(rules)) }

// HashPods is the hash of the pods' rules.
func HashPods(rules model.PodRules) (Hash, error) { return hashed(EncodePods(rules)) }

// HashSet is the hash of a set's content, whatever its name.
func HashSet(set model.Set) (Hash, error) { return hashed(EncodeSet(set)) }

func hashed(body []byte, err error) (Hash, error) {
	if err != nil {
		return Hash{}, err
	}
	return HashOf(body), nil
}

// Manifest names the content of a ruleset part by part.
type Manifest struct {
	Host Hash                 `json:"host"`
	Pods Hash                 `json:"pods"`
	Sets map[model.SetID]Hash `json:"sets,omitempty"`
}

// ManifestOf hashes all parts of a ruleset. A set that is not canonical is an
// error that names it.
func ManifestOf(rs *model.Ruleset) (Manifest, error) {
	m := Manifest{Sets: make(map[model.SetID]Hash, len(rs.Sets))}
	var err error
	if m.Host, err = HashHost(rs.Host); err != nil {
		return m, err
	}
	if m.Pods, err = HashPods(rs.Pods); err != nil {
		return m, err
	}
	for id, set := range rs.Sets {
		if m.Sets[id], err = HashSet(set); err != nil {
			return m, fmt.Errorf("set %s: %w", id, err)
		}
	}
	return m, nil
}

// Root is the hash of the whole: equal for equal rulesets.
func (m Manifest) Root() Hash {
	b := []byte("kedge firewall 1\x00")
	b = append(b, m.Host[:]...)
	b = append(b, m.Pods[:]...)
	for _, id := range slices.Sorted(maps.Keys(m.Sets)) {
		b = binary.AppendUvarint(b, uint64(len(id)))
		b = append(b, id...)
		hash := m.Sets[id]
		b = append(b, hash[:]...)
	}
	return sha256.Sum256(b)
}
