package probe

import (
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kedge-io/kedge/internal/fsx"
)

// KeyLength is the length of a public key in bytes.
const KeyLength = 32

// Key is a node's own X25519 key.
type Key struct{ private *ecdh.PrivateKey }

// NewKey makes a key.
func NewKey() (Key, error) {
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return Key{}, fmt.Errorf("making a key for probes: %w", err)
	}
	return Key{private}, nil
}

// LoadKey reads the key in a file, or makes one and writes it there, readable
// by its owner only. A file that holds something else is replaced: the peers
// learn the new key from the Node.
func LoadKey(file string) (Key, error) {
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Key{}, fmt.Errorf("reading the key for probes: %w", err)
	}
	if private, err := ecdh.X25519().NewPrivateKey(text); err == nil {
		return Key{private}, nil
	}
	k, err := NewKey()
	if err != nil {
		return Key{}, err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return Key{}, fmt.Errorf("writing the key for probes: %w", err)
	}
	if err := fsx.WriteFile(file, k.private.Bytes(), 0o600); err != nil {
		return Key{}, fmt.Errorf("writing the key for probes: %w", err)
	}
	return k, nil
}

// Public returns the public key, [KeyLength] bytes.
func (k Key) Public() []byte { return k.private.PublicKey().Bytes() }

// String keeps the key out of logs.
func (k Key) String() string { return "(key)" }

// GoString keeps the key out of logs.
func (k Key) GoString() string { return k.String() }

// pair returns the keys of messages to and from a peer. They differ, so that a
// message that is sent back proves nothing.
func (k Key) pair(peer []byte) (to, from []byte, err error) {
	public, err := ecdh.X25519().NewPublicKey(peer)
	if err != nil {
		return nil, nil, fmt.Errorf("public key for probes: %w", err)
	}
	shared, err := k.private.ECDH(public)
	if err != nil {
		return nil, nil, fmt.Errorf("public key for probes: %w", err)
	}
	derive := func(sender, receiver []byte) []byte {
		h := hmac.New(sha256.New, shared)
		h.Write([]byte("kedge probe v1"))
		h.Write(sender)
		h.Write(receiver)
		return h.Sum(nil)
	}
	return derive(k.Public(), peer), derive(peer, k.Public()), nil
}
