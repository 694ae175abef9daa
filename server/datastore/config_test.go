package datastore

import (
	"log/slog"
	"strings"
	"testing"
)

func TestEndpointValidation(t *testing.T) {
	for _, tc := range []struct{ endpoint, says string }{
		{"postgres://u:secret@db:5432/kedge?sslmode=require", ""},
		{"mysql://u:secret@tcp(db:3306)/kedge", ""},
		{"nats://db:4222", ""},
		{"https://a:2379,https://b:2379", ""},
		{"https://a:2379,ftp://b", `scheme "ftp" is not supported`},
		{"https://", "has no host"},
		{"u:secret@db", "is not supported"},
		{"sqlite:///x", "is not supported"},
	} {
		err := Config{SocketDir: "/run/x", Endpoint: tc.endpoint, Log: slog.New(slog.DiscardHandler)}.Validate()
		if (err == nil) != (tc.says == "") || (err != nil && !strings.Contains(err.Error(), tc.says)) {
			t.Errorf("%s: %v, want %q", tc.endpoint, err, tc.says)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the password is printed: %v", err)
		}
	}
}

func TestAllProblemsAreNamedTogether(t *testing.T) {
	err := Config{Path: "relative", SocketDir: "also", Durability: "some", CertFile: "c"}.Validate()
	for _, want := range []string{"no logger", `"relative"`, `"also"`, `durability "some"`, "certificate and its key"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not mention %s", err, want)
		}
	}
}

func TestPathsThatSQLiteWouldMisreadAreRefused(t *testing.T) {
	for _, p := range []string{"/a?b", "/a#b", "/a%20b"} {
		if validatePath("database", p) == nil {
			t.Errorf("%s was accepted", p)
		}
	}
}
