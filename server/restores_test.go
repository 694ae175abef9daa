package server

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/internal/wire"
	"github.com/kedge-io/kedge/server/certs"
	"github.com/kedge-io/kedge/server/join"
)

func TestRestoresAreAnnouncedToNodesOnly(t *testing.T) {
	s := &Server{join: join.New(join.Config{
		Authorities: func() (*certs.Authorities, error) { return &certs.Authorities{}, nil },
	}, slog.New(slog.DiscardHandler))}
	answer := httptest.NewRecorder()
	s.restores(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, wire.PathRestores, nil))
	if answer.Code != http.StatusUnauthorized || strings.Contains(answer.Body.String(), "undone") {
		t.Errorf("a stranger gets %d: %s", answer.Code, answer.Body)
	}
}
