package join

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kedge-io/kedge/internal/wire"
)

// newAPI is client-go's fake with the optimistic concurrency of a real API,
// which it lacks: an update of a version that is not the last one conflicts.
func newAPI() *fake.Clientset {
	client := fake.NewClientset()
	var mu sync.Mutex
	version := 0
	stamp := func(action clienttesting.Action, object runtime.Object, store func(schema.GroupVersionResource, runtime.Object, string) error) (bool, runtime.Object, error) {
		secret := object.DeepCopyObject().(*corev1.Secret)
		version++
		secret.ResourceVersion = strconv.Itoa(version)
		err := store(action.GetResource(), secret, secret.Namespace)
		return true, secret.DeepCopy(), err
	}
	tracker := client.Tracker()
	client.PrependReactor("create", "secrets", func(action clienttesting.Action) (bool, runtime.Object, error) {
		mu.Lock()
		defer mu.Unlock()
		return stamp(action, action.(clienttesting.CreateAction).GetObject(), func(r schema.GroupVersionResource, o runtime.Object, ns string) error {
			return tracker.Create(r, o, ns)
		})
	})
	client.PrependReactor("update", "secrets", func(action clienttesting.Action) (bool, runtime.Object, error) {
		mu.Lock()
		defer mu.Unlock()
		object := action.(clienttesting.UpdateAction).GetObject().(*corev1.Secret)
		present, err := tracker.Get(action.GetResource(), object.Namespace, object.Name)
		if err != nil {
			return true, nil, err
		}
		if present.(*corev1.Secret).ResourceVersion != object.ResourceVersion {
			return true, nil, apierrors.NewConflict(schema.GroupResource{Resource: "secrets"}, object.Name, errors.New("changed"))
		}
		return stamp(action, object, func(r schema.GroupVersionResource, o runtime.Object, ns string) error {
			return tracker.Update(r, o, ns)
		})
	})
	return client
}

func codeOf(err error) wire.Code {
	var refusal *wire.Refusal
	if errors.As(err, &refusal) {
		return refusal.Code
	}
	return ""
}

func newTokens(t *testing.T, options TokenOptions) (tokens *Tokens, id, secret string) {
	t.Helper()
	tokens = NewTokens(newAPI())
	id, secret, err := tokens.Create(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	return tokens, id, secret
}

func TestStoredTokenHoldsNoSecret(t *testing.T) {
	tokens, id, secret := newTokens(t, TokenOptions{TTL: time.Hour, Uses: 3, Description: "shop 7"})
	stored, err := tokens.client.CoreV1().Secrets(Namespace).Get(t.Context(), "kedge-token-"+id, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range stored.Data {
		if strings.Contains(string(value), secret) {
			t.Errorf("%s holds the secret", key)
		}
	}
	if stored.Type != TokenType || len(secret) != wire.TokenSecretLength {
		t.Errorf("type %s, secret of %d", stored.Type, len(secret))
	}
	if _, err := wire.ParseToken((wire.Token{ID: id, Secret: secret}).Encode()); err != nil {
		t.Error(err)
	}
	list, err := tokens.List(t.Context())
	if err != nil || len(list) != 1 || list[0].Description != "shop 7" || *list[0].UsesLeft != 3 || list[0].Expired(time.Now()) {
		t.Fatalf("%+v, %v", list, err)
	}
	text, err := json.Marshal(list)
	if err != nil || strings.Contains(string(text), "hash") {
		t.Errorf("%s, %v", text, err)
	}
}

func TestCheckTellsUnknownFromExpiredOnlyToTheHolder(t *testing.T) {
	tokens, id, secret := newTokens(t, TokenOptions{TTL: time.Hour})
	wrong := strings.Repeat("x", len(secret))
	if _, err := tokens.Check(t.Context(), id, secret); err != nil {
		t.Fatal(err)
	}
	tokens.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	for name, step := range map[string]struct {
		id, secret string
		want       wire.Code
	}{
		"holder":       {id, secret, wire.CodeTokenExpired},
		"wrong secret": {id, wrong, wire.CodeTokenUnknown},
		"wrong id":     {"zzzzzz", secret, wire.CodeTokenUnknown},
	} {
		_, err := tokens.Check(t.Context(), step.id, step.secret)
		if codeOf(err) != step.want || !strings.Contains(err.Error(), "kedge token create") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSpoiltRecordProvesNothing(t *testing.T) {
	tokens, id, secret := newTokens(t, TokenOptions{})
	secrets := tokens.client.CoreV1().Secrets(Namespace)
	for _, key := range []string{keyHash, keySalt, keyCreated} {
		stored, err := secrets.Get(t.Context(), tokenPrefix+id, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		good := stored.Data[key]
		stored.Data[key] = nil
		if stored, err = secrets.Update(t.Context(), stored, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := tokens.Check(t.Context(), id, secret); codeOf(err) != wire.CodeTokenUnknown {
			t.Errorf("without %s: %v", key, err)
		}
		stored.Data[key] = good
		if _, err = secrets.Update(t.Context(), stored, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLastUsesAreNeverSharedByRacingNodes(t *testing.T) {
	const uses, nodes = 5, 24
	tokens, id, _ := newTokens(t, TokenOptions{Uses: uses})
	var won, lost atomic.Int32
	var wg sync.WaitGroup
	for range nodes {
		wg.Go(func() {
			switch err := tokens.Use(context.Background(), id); {
			case err == nil:
				won.Add(1)
			case codeOf(err) == wire.CodeTokenUsedUp:
				lost.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != uses || lost.Load() != nodes-uses {
		t.Fatalf("%d took a use and %d did not", won.Load(), lost.Load())
	}
	if err := tokens.Refund(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := tokens.Use(t.Context(), id); err != nil {
		t.Fatal("a use that was given back is lost", err)
	}
}

func TestRotateLeavesOnlyTheNewToken(t *testing.T) {
	tokens, old, _ := newTokens(t, TokenOptions{})
	id, _, deleted, err := tokens.Rotate(t.Context(), TokenOptions{TTL: time.Hour})
	if err != nil || deleted != 1 {
		t.Fatal(deleted, err)
	}
	list, err := tokens.List(t.Context())
	if err != nil || len(list) != 1 || list[0].ID != id || id == old {
		t.Fatal(list, err)
	}
	if err := tokens.Delete(t.Context(), old); err == nil || !strings.Contains(err.Error(), "kedge token list") {
		t.Error(err)
	}
	if err := tokens.Delete(t.Context(), id); err != nil {
		t.Error(err)
	}
}

func TestSweepKeepsWhatExpiredRecently(t *testing.T) {
	tokens, _, _ := newTokens(t, TokenOptions{TTL: time.Hour})
	for _, step := range []struct {
		after time.Duration
		left  int
	}{{2 * time.Hour, 1}, {8 * 24 * time.Hour, 0}} {
		tokens.now = func() time.Time { return time.Now().Add(step.after) }
		if err := tokens.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if list, err := tokens.List(t.Context()); err != nil || len(list) != step.left {
			t.Errorf("after %s: %v, %v", step.after, list, err)
		}
	}
}

func TestNameIsTakenByOneOfRacingDevices(t *testing.T) {
	nodes := NewNodes(newAPI())
	var won atomic.Int32
	var wg sync.WaitGroup
	for i := range byte(16) {
		wg.Go(func() {
			switch err := nodes.Take(context.Background(), "edge-1", wire.Pin{i + 1}); {
			case err == nil:
				won.Add(1)
			case codeOf(err) != wire.CodeNodeNameTaken || !strings.Contains(err.Error(), "kedge node replace edge-1"):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Fatalf("%d devices hold one name", won.Load())
	}
}

func TestReplacedDeviceIsRememberedUntilItTakesTheNameAgain(t *testing.T) {
	nodes := NewNodes(newAPI())
	first, second := wire.Pin{1}, wire.Pin{2}
	if err := nodes.Replace(t.Context(), "edge-1"); !errors.Is(err, ErrNoClaim) {
		t.Fatal(err)
	}
	for _, step := range []func() error{
		func() error { return nodes.Take(t.Context(), "edge-1", first) },
		func() error { return nodes.Take(t.Context(), "edge-1", first) },
		func() error { return nodes.Replace(t.Context(), "edge-1") },
		func() error { return nodes.Take(t.Context(), "edge-1", second) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	claim, err := nodes.Get(t.Context(), "edge-1")
	if err != nil || claim.Device != second || len(claim.Former) != 1 || claim.Former[0] != first {
		t.Fatalf("%+v, %v", claim, err)
	}
	lost, err := nodes.Force(t.Context(), "edge-1", first)
	if err != nil || lost != second {
		t.Fatal(lost, err)
	}
	claim, err = nodes.Get(t.Context(), "edge-1")
	if err != nil || claim.Device != first || len(claim.Former) != 1 || claim.Former[0] != second {
		t.Fatalf("%+v, %v", claim, err)
	}
}
