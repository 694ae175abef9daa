package main

import (
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes/fake"

	"github.com/kedge-io/kedge/server/join"
)

func TestTokensAreMadeAndJudgedByTheClockOfTheServer(t *testing.T) {
	// The machine's shows another year.
	now := time.Date(2031, 5, 1, 12, 0, 0, 0, time.UTC)
	a := &admin{client: fake.NewClientset(), now: func() time.Time { return now }}
	id, _, err := a.tokens().Create(t.Context(), join.TokenOptions{TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	list, err := a.tokens().List(t.Context())
	if err != nil || len(list) != 1 || !list[0].Expires.Equal(now.Add(time.Hour)) {
		t.Fatalf("%+v, %v", list, err)
	}
	if said := stillGood(t.Context(), a); !strings.Contains(said, id) || !strings.Contains(said, "kedge token rotate") {
		t.Errorf("who revokes a machine is told %q", said)
	}
	now = now.Add(2 * time.Hour)
	if said := stillGood(t.Context(), a); said != "" {
		t.Errorf("with an expired token: %q", said)
	}
	now = now.Add(-2 * time.Hour)
	if err := a.tokens().Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.tokens().Create(t.Context(), join.TokenOptions{Uses: 1}); err != nil {
		t.Fatal(err)
	}
	left, err := a.tokens().List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := a.tokens().Use(t.Context(), left[0].ID); err != nil {
		t.Fatal(err)
	}
	if said := stillGood(t.Context(), a); said != "" {
		t.Errorf("with a token that is used up: %q", said)
	}
}
