package join

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"

	"github.com/kedge-io/kedge/internal/wire"
)

const (
	// Namespace is where tokens and node claims are stored.
	Namespace = metav1.NamespaceSystem
	// TokenType is the type of Secrets that hold tokens.
	TokenType corev1.SecretType = "kedge.io/join-token"
	// DefaultTTL is how long a token is good unless its maker says otherwise.
	DefaultTTL = 24 * time.Hour

	tokenPrefix = "kedge-token-"
	recordLabel = "kedge.io/record"
	tokenRecord = "join-token"

	keySalt, keyHash        = "salt", "hash"
	keyCreated, keyExpires  = "created", "expires"
	keyUses, keyDescription = "uses-left", "description"
	saltSize                = 16
	maxDescription          = 256
	timeFormat              = time.RFC3339
	expiredKept             = 7 * 24 * time.Hour
)

// Token describes a stored token. The secret itself is nowhere.
type Token struct {
	ID          string    `json:"id"`
	Description string    `json:"description,omitempty"`
	Created     time.Time `json:"created"`
	// Expires is zero for a token that does not end by itself.
	Expires time.Time `json:"expires,omitzero"`
	// UsesLeft is how many more machines may join; nil for any number.
	UsesLeft *int `json:"usesLeft,omitempty"`

	salt, hash []byte
}

// Expired says whether the token has ended by time.
func (t Token) Expired(now time.Time) bool { return !t.Expires.IsZero() && !now.Before(t.Expires) }

// TokenOptions say what a new token may be used for.
type TokenOptions struct {
	// TTL is how long the token is good; 0 for ever.
	TTL time.Duration
	// Uses is how many machines may join with it; 0 for any number.
	Uses int
	// Description is for people, at most 256 bytes.
	Description string
}

// Tokens is the store of join tokens. It is safe for concurrent use, also by
// several processes.
type Tokens struct {
	client kubernetes.Interface
	now    func() time.Time
}

// NewTokens returns the store behind client, with the machine's clock.
func NewTokens(client kubernetes.Interface) *Tokens {
	return NewTokensAt(client, time.Now)
}

// NewTokensAt is [NewTokens] with another clock: a token has to end by that of the
// servers, which is right where the machine's shows 1970.
func NewTokensAt(client kubernetes.Interface, now func() time.Time) *Tokens {
	return &Tokens{client: client, now: now}
}

// Create stores a new token and returns its id and secret, which cannot be
// read again.
func (s *Tokens) Create(ctx context.Context, options TokenOptions) (id, secret string, err error) {
	if options.TTL < 0 || options.Uses < 0 || len(options.Description) > maxDescription {
		return "", "", fmt.Errorf("create token: lifetime %s and uses %d must not be negative, and a description has at most %d bytes", options.TTL, options.Uses, maxDescription)
	}
	if secret, err = randomText(wire.TokenSecretLength); err != nil {
		return "", "", err
	}
	salt := make([]byte, saltSize)
	if _, err := rand.Read(salt); err != nil {
		return "", "", fmt.Errorf("create token: %w", err)
	}
	now := s.now().UTC()
	data := map[string][]byte{
		keySalt: salt, keyHash: hashSecret(salt, secret),
		keyCreated: []byte(now.Format(timeFormat)), keyDescription: []byte(options.Description),
	}
	if options.TTL > 0 {
		data[keyExpires] = []byte(now.Add(options.TTL).Format(timeFormat))
	}
	if options.Uses > 0 {
		data[keyUses] = []byte(strconv.Itoa(options.Uses))
	}
	for {
		if id, err = randomText(wire.TokenIDLength); err != nil {
			return "", "", err
		}
		_, err = s.client.CoreV1().Secrets(Namespace).Create(ctx, record(tokenPrefix+id, tokenRecord, TokenType, data), metav1.CreateOptions{})
		switch {
		case err == nil:
			return id, secret, nil
		case !apierrors.IsAlreadyExists(err):
			return "", "", fmt.Errorf("store token: %w", err)
		}
	}
}

func record(name, kind string, secretType corev1.SecretType, data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: Namespace, Labels: map[string]string{recordLabel: kind}},
		Type:       secretType,
		Data:       data,
	}
}

// List returns all tokens, the oldest first, expired ones included.
func (s *Tokens) List(ctx context.Context) ([]Token, error) {
	list, err := s.client.CoreV1().Secrets(Namespace).List(ctx, metav1.ListOptions{LabelSelector: recordLabel + "=" + tokenRecord})
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	tokens := []Token{}
	for i := range list.Items {
		// A record that a person spoilt must not hide the others.
		if token, err := parseToken(&list.Items[i]); err == nil {
			tokens = append(tokens, token)
		}
	}
	slices.SortFunc(tokens, func(a, b Token) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return tokens, nil
}

// Delete removes the token. Nodes that joined with it stay.
func (s *Tokens) Delete(ctx context.Context, id string) error {
	if !wire.ValidTokenID(id) {
		return fmt.Errorf("token id %.40q must be %d characters of a-z and 0-9: kedge token list shows the ids", id, wire.TokenIDLength)
	}
	err := s.client.CoreV1().Secrets(Namespace).Delete(ctx, tokenPrefix+id, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("there is no token %s: kedge token list shows the ids", id)
	}
	if err != nil {
		return fmt.Errorf("delete token %s: %w", id, err)
	}
	return nil
}

// Rotate creates a token and then deletes all others. It returns how many it
// deleted.
func (s *Tokens) Rotate(ctx context.Context, options TokenOptions) (id, secret string, deleted int, err error) {
	if id, secret, err = s.Create(ctx, options); err != nil {
		return "", "", 0, err
	}
	list, err := s.client.CoreV1().Secrets(Namespace).List(ctx, metav1.ListOptions{LabelSelector: recordLabel + "=" + tokenRecord})
	if err != nil {
		return id, secret, 0, fmt.Errorf("list tokens to delete: %w", err)
	}
	for _, item := range list.Items {
		if item.Name == tokenPrefix+id {
			continue
		}
		if err := s.client.CoreV1().Secrets(Namespace).Delete(ctx, item.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return id, secret, deleted, fmt.Errorf("delete %s: %w", item.Name, err)
		}
		deleted++
	}
	return id, secret, deleted, nil
}

// Sweep deletes tokens that expired more than a week ago. Until then joining
// with one says that it expired rather than that it is unknown.
func (s *Tokens) Sweep(ctx context.Context) error {
	tokens, err := s.List(ctx)
	if err != nil {
		return err
	}
	for _, token := range tokens {
		if token.Expired(s.now().Add(-expiredKept)) {
			if err := s.Delete(ctx, token.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// Check returns the stored token that id and secret prove, or a
// [*wire.Refusal]. Only who knows the secret learns that a token has expired.
func (s *Tokens) Check(ctx context.Context, id, secret string) (Token, error) {
	stored, err := s.client.CoreV1().Secrets(Namespace).Get(ctx, tokenPrefix+id, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return Token{}, fmt.Errorf("read token: %w", err)
	}
	var token Token
	if err == nil {
		// A record that cannot be parsed proves nothing.
		token, _ = parseToken(stored)
	}
	// An unknown token costs the same hash and comparison as a known one.
	if subtle.ConstantTimeCompare(hashSecret(token.salt, secret), token.hash) != 1 {
		return Token{}, refuse(wire.CodeTokenUnknown, "the server does not know this join token: it was deleted, rotated or mistyped; make a new one on the server with: kedge token create")
	}
	if token.Expired(s.now()) {
		return Token{}, refuse(wire.CodeTokenExpired, "join token %s expired at %s: make a new one on the server with: kedge token create", id, token.Expires.Format(timeFormat))
	}
	return token, nil
}

// Use takes one use of the token, or gives a [*wire.Refusal] when none is left.
func (s *Tokens) Use(ctx context.Context, id string) error { return s.addUses(ctx, id, -1) }

// Refund gives a use back that [Tokens.Use] took in vain.
func (s *Tokens) Refund(ctx context.Context, id string) error { return s.addUses(ctx, id, 1) }

// contention is generous, because a thousand nodes may join at once with one token.
var contention = retryPolicy()

func (s *Tokens) addUses(ctx context.Context, id string, change int) error {
	secrets := s.client.CoreV1().Secrets(Namespace)
	err := retry.RetryOnConflict(contention, func() error {
		stored, err := secrets.Get(ctx, tokenPrefix+id, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return refuse(wire.CodeTokenUnknown, "join token %s was deleted just now: make a new one on the server with: kedge token create", id)
		}
		if err != nil {
			return err
		}
		text, counted := stored.Data[keyUses]
		if !counted {
			return nil
		}
		left, err := strconv.Atoi(string(text))
		if err != nil || left+change < 0 {
			return refuse(wire.CodeTokenUsedUp, "all uses of join token %s are taken: make a new one on the server with: kedge token create --uses N", id)
		}
		stored.Data[keyUses] = []byte(strconv.Itoa(left + change))
		// The update carries the version that was read: a second taker of the
		// same use gets a conflict and reads again.
		_, err = secrets.Update(ctx, stored, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("count use of token %s: %w", id, err)
	}
	return nil
}

func parseToken(stored *corev1.Secret) (Token, error) {
	id, ok := strings.CutPrefix(stored.Name, tokenPrefix)
	if !ok || !wire.ValidTokenID(id) || stored.Type != TokenType {
		return Token{}, fmt.Errorf("secret %s is not a join token", stored.Name)
	}
	token := Token{ID: id, Description: string(stored.Data[keyDescription]), salt: stored.Data[keySalt], hash: stored.Data[keyHash]}
	if len(token.salt) != saltSize || len(token.hash) != sha256.Size {
		return Token{}, fmt.Errorf("token %s has no hash", id)
	}
	var err error
	if token.Created, err = time.Parse(timeFormat, string(stored.Data[keyCreated])); err != nil {
		return Token{}, fmt.Errorf("token %s: created: %w", id, err)
	}
	if text, ok := stored.Data[keyExpires]; ok {
		if token.Expires, err = time.Parse(timeFormat, string(text)); err != nil {
			return Token{}, fmt.Errorf("token %s: expires: %w", id, err)
		}
	}
	if text, ok := stored.Data[keyUses]; ok {
		left, err := strconv.Atoi(string(text))
		if err != nil {
			return Token{}, fmt.Errorf("token %s: uses: %w", id, err)
		}
		token.UsesLeft = &left
	}
	return token, nil
}

func hashSecret(salt []byte, secret string) []byte {
	sum := sha256.Sum256(append(slices.Clone(salt), secret...))
	return sum[:]
}

func randomText(length int) (string, error) {
	text := make([]byte, length)
	for i := range text {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(wire.TokenAlphabet))))
		if err != nil {
			return "", fmt.Errorf("make random text: %w", err)
		}
		text[i] = wire.TokenAlphabet[n.Int64()]
	}
	return string(text), nil
}
