package wire

import (
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

const (
	tokenPrefix    = "K1"
	tokenSeparator = "::"
	pinLength      = 32

	// TokenIDLength is the number of characters of a token's public part.
	TokenIDLength = 6
	// TokenSecretLength is the number of characters of the secret of a new
	// token: 26 of 36 symbols are 134 bits.
	TokenSecretLength = 26
	// TokenAlphabet holds the characters of token ids and secrets.
	TokenAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789"

	minSecretLength = 16
	maxSecretLength = 64
)

// ErrTokenFormat is wrapped by every error of [ParseToken] and [ParseBearer].
// The errors never contain the text that was parsed.
var ErrTokenFormat = errors.New("the join token is malformed")

// Pin is the SHA-256 of the SubjectPublicKeyInfo of a certificate authority
// (RFC 7469, section 2.4 computes pins the same way).
type Pin [pinLength]byte

// String returns the pin as 64 lower-case hexadecimal digits.
func (p Pin) String() string { return hex.EncodeToString(p[:]) }

// Token is a join token. Printing one with fmt or slog shows its id only;
// [Token.Encode] gives the text that a person copies.
type Token struct {
	// Pin names the server CA that the agent must find.
	Pin Pin
	// ID is the public part, [TokenIDLength] characters.
	ID string
	// Secret is what proves the right to join.
	Secret string
}

// Encode returns the whole token, secret included, in the form that
// [ParseToken] reads: K1<pin>::<id>.<secret>.
func (t Token) Encode() string {
	return tokenPrefix + t.Pin.String() + tokenSeparator + t.Bearer()
}

// Bearer returns "id.secret", the part that is sent to a verified server.
func (t Token) Bearer() string { return t.ID + "." + t.Secret }

// String returns the token with its secret masked.
func (t Token) String() string {
	return tokenPrefix + t.Pin.String() + tokenSeparator + t.ID + ".****"
}

// GoString masks the secret for %#v.
func (t Token) GoString() string { return t.String() }

// LogValue masks the secret for slog.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// ParseToken reads a whole token; surrounding white space is ignored. Its
// errors wrap [ErrTokenFormat] and say what is wrong without showing the text.
func ParseToken(text string) (Token, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return Token{}, fmt.Errorf("%w: it is empty", ErrTokenFormat)
	}
	rest, ok := strings.CutPrefix(text, tokenPrefix)
	if !ok {
		return Token{}, fmt.Errorf("%w: it does not begin with %s", ErrTokenFormat, tokenPrefix)
	}
	pin, bearer, ok := strings.Cut(rest, tokenSeparator)
	if !ok {
		return Token{}, fmt.Errorf("%w: it has no %q between the CA hash and the secret", ErrTokenFormat, tokenSeparator)
	}
	var token Token
	if err := token.Pin.parse(pin); err != nil {
		return Token{}, err
	}
	var err error
	token.ID, token.Secret, err = ParseBearer(bearer)
	return token, err
}

// ParsePin reads 64 lower-case hexadecimal digits.
func ParsePin(text string) (Pin, error) {
	var p Pin
	err := p.parse(text)
	return p, err
}

func (p *Pin) parse(text string) error {
	if len(text) != hex.EncodedLen(pinLength) || strings.ToLower(text) != text {
		return fmt.Errorf("%w: the CA hash must be %d lower-case hexadecimal digits, not %d characters", ErrTokenFormat, hex.EncodedLen(pinLength), len(text))
	}
	if _, err := hex.Decode(p[:], []byte(text)); err != nil {
		return fmt.Errorf("%w: the CA hash is not hexadecimal", ErrTokenFormat)
	}
	return nil
}

// ParseBearer reads "id.secret". Its errors wrap [ErrTokenFormat].
func ParseBearer(text string) (id, secret string, err error) {
	id, secret, ok := strings.Cut(text, ".")
	switch {
	case !ok:
		return "", "", fmt.Errorf("%w: it has no dot between id and secret", ErrTokenFormat)
	case len(id) != TokenIDLength || !inAlphabet(id):
		return "", "", fmt.Errorf("%w: its id must be %d characters of a-z and 0-9", ErrTokenFormat, TokenIDLength)
	case len(secret) < minSecretLength || len(secret) > maxSecretLength || !inAlphabet(secret):
		return "", "", fmt.Errorf("%w: its secret must be %d to %d characters of a-z and 0-9", ErrTokenFormat, minSecretLength, maxSecretLength)
	}
	return id, secret, nil
}

// ValidTokenID says whether id can be the public part of a token.
func ValidTokenID(id string) bool { return len(id) == TokenIDLength && inAlphabet(id) }

func inAlphabet(text string) bool {
	for _, c := range []byte(text) {
		if strings.IndexByte(TokenAlphabet, c) < 0 {
			return false
		}
	}
	return true
}
