package snapshot

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"testing"
)

// FuzzArchive reads files whose end is right and whose content is anybody's.
func FuzzArchive(f *testing.F) {
	s := newServer(f)
	s.db.content = pages(f, 2)
	whole, err := os.ReadFile(s.mustSave(f, "").Location)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole[:len(whole)-trailerBytes])
	f.Add([]byte("x"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		raw = append(bytes.Clone(raw), trailer{size: int64(len(raw)), sum: sha256.Sum256(raw)}.bytes()...)
		a, err := Read(bytes.NewReader(raw), int64(len(raw)))
		if err == nil {
			err = a.Verify(t.Context())
		}
		if err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNewer) {
			t.Errorf("an error of another kind: %v", err)
		}
	})
}

// FuzzToken: what is read is what would be written.
func FuzzToken(f *testing.F) {
	token, err := NewToken([32]byte{4})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token.Encode())
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		if err == nil && !bytes.Contains([]byte(text), []byte(token.Encode())) {
			t.Errorf("%q is read as %q", text, token.Encode())
		}
	})
}
