package snapshot

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"os"
	"strings"

	"github.com/kedge-io/kedge/internal/fsx"
	"github.com/kedge-io/kedge/internal/wire"
)

const (
	tokenPrefix = "K1"
	tokenMiddle = "::recovery."
)

// ErrTokenFormat is wrapped by the errors of [ParseToken], which never show the
// text.
var ErrTokenFormat = errors.New("the recovery token is malformed")

// Token opens the identity in the snapshots of one cluster. Printing one with fmt
// or slog does not show its secret; [Token.Encode] gives the text to write down.
type Token struct {
	// Pin is that of the server authority when the token was shown, for people:
	// it plays no part in opening.
	Pin wire.Pin
	// Secret is [wire.TokenSecretLength] characters of [wire.TokenAlphabet].
	Secret string
}

// NewToken makes a token with a secret of 134 random bits.
func NewToken(pin wire.Pin) (Token, error) {
	secret := make([]byte, wire.TokenSecretLength)
	for i := range secret {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(wire.TokenAlphabet))))
		if err != nil {
			return Token{}, fmt.Errorf("make recovery token: %w", err)
		}
		secret[i] = wire.TokenAlphabet[n.Int64()]
	}
	return Token{Pin: pin, Secret: string(secret)}, nil
}

// ParseToken reads K1<pin>::recovery.<secret>; white space around it is ignored.
func ParseToken(text string) (Token, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), tokenPrefix)
	if !ok {
		return Token{}, fmt.Errorf("%w: it does not begin with %s", ErrTokenFormat, tokenPrefix)
	}
	pin, secret, ok := strings.Cut(rest, tokenMiddle)
	if !ok {
		return Token{}, fmt.Errorf("%w: it has no %q: a join token opens no snapshot, kedge snapshot token shows the one that does", ErrTokenFormat, tokenMiddle)
	}
	var t Token
	var err error
	if t.Pin, err = wire.ParsePin(pin); err != nil {
		return Token{}, fmt.Errorf("%w: the hash of the authority must be 64 hexadecimal digits", ErrTokenFormat)
	}
	if len(secret) != wire.TokenSecretLength || strings.Trim(secret, wire.TokenAlphabet) != "" {
		return Token{}, fmt.Errorf("%w: its secret must be %d characters of a-z and 0-9", ErrTokenFormat, wire.TokenSecretLength)
	}
	t.Secret = secret
	return t, nil
}

// Encode returns the whole token, secret included.
func (t Token) Encode() string { return tokenPrefix + t.Pin.String() + tokenMiddle + t.Secret }

// ID names the token without giving it away: it is a hash of the secret, which
// has too many bits to be guessed.
func (t Token) ID() string {
	sum := sha256.Sum256([]byte("kedge recovery token " + t.Secret))
	return hex.EncodeToString(sum[:8])
}

// String masks the secret.
func (t Token) String() string { return tokenPrefix + t.Pin.String() + tokenMiddle + "****" }

// GoString masks the secret for %#v.
func (t Token) GoString() string { return t.String() }

// LogValue masks the secret for slog.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// ReadToken reads the token of a server's data directory. The error wraps
// [fs.ErrNotExist] when there is none.
func ReadToken(path string) (Token, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return Token{}, fmt.Errorf("read recovery token: %w", err)
	}
	t, err := ParseToken(string(raw))
	if err != nil {
		return Token{}, fmt.Errorf("recovery token in %s: %w: put the one back that you noted down, or remove the file for a new one, with which older snapshots cannot be opened", path, err)
	}
	return t, nil
}

// WriteToken keeps t at path for its owner alone.
func WriteToken(path string, t Token) error {
	return fsx.WriteFile(path, []byte(t.Encode()+"\n"), 0o600)
}

// EnsureToken returns the token at path, made if there is none, and keeps its pin
// up to date. It reports whether it made one.
func EnsureToken(path string, pin wire.Pin) (Token, bool, error) {
	t, err := ReadToken(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if t, err = NewToken(pin); err == nil {
			err = WriteToken(path, t)
		}
		return t, err == nil, err
	case err != nil:
		return t, false, err
	case t.Pin != pin:
		t.Pin = pin
		err = WriteToken(path, t)
	}
	return t, false, err
}
