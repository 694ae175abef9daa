package join

import (
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/internal/wire"
)

// setBack gives a plant the file that a restore makes of what the host knew.
func setBack(t *testing.T, p *plant, known *barred) {
	t.Helper()
	have, err := known.encode()
	if err != nil {
		t.Fatal(err)
	}
	kept, err := KeepBarred(have, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.join.config.BarredFile, kept, 0o600); err != nil {
		t.Fatal(err)
	}
	p.join.barred.Store(p.join.readBarred())
}

func TestRevocationThatTheDatabaseHasForgottenStaysUntilItIsAllowed(t *testing.T) {
	p := newWatchedPlant(t)
	m := newMachine(t)
	p.admitted(t, m, p.token(t, TokenOptions{}), "edge-1")
	device := deviceOf(t, m)
	setBack(t, p, &barred{Revoked: map[wire.Pin]string{device: "edge-1"}})
	let := func(s *Server) bool { return s.refusal(device) == nil }
	if let(p.join) {
		t.Fatal("it is let in before the API answers")
	}
	runComponent(t, p.join)
	if let(p.join) {
		t.Fatal("it is let in once the claims are known")
	}
	nodes := NewNodes(p.api)
	eventually(t, "the claim says it again", func() bool {
		claim, err := nodes.Get(t.Context(), "edge-1")
		return err == nil && len(claim.Revoked) == 1 && claim.Revoked[0] == device && claim.Device == device
	})
	eventually(t, "what is kept is confirmed", func() bool { return p.join.barred.Load().kept.none() })
	if let(New(p.join.config, slog.New(slog.DiscardHandler))) {
		t.Error("it is let in after a restart")
	}
	if n, err := nodes.Allow(t.Context(), "edge-1"); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	eventually(t, "the machine is let in", func() bool {
		status, _, _ := p.do(t, m, http.MethodGet, wire.PathPing, "", nil)
		return status == http.StatusOK
	})
	eventually(t, "after a restart it is let in", func() bool { return let(New(p.join.config, slog.New(slog.DiscardHandler))) })
}

func TestMachineThatWasReplacedAfterTheTimeOfTheDatabaseStaysOut(t *testing.T) {
	p := newWatchedPlant(t)
	token, old, next := p.token(t, TokenOptions{}), newMachine(t), newMachine(t)
	p.admitted(t, old, token, "edge-1")
	stranger := wire.Pin{7} // joined after the time of the database, and was replaced
	setBack(t, p, &barred{Replaced: []wire.Pin{deviceOf(t, old), stranger}})
	runComponent(t, p.join)
	eventually(t, "the name is free", func() bool {
		claim, err := NewNodes(p.api).Get(t.Context(), "edge-1")
		return err == nil && claim.Device == (wire.Pin{})
	})
	if p.join.refusal(deviceOf(t, old)) == nil || p.join.refusal(stranger) == nil {
		t.Error("a replaced machine is let in")
	}
	p.admitted(t, next, token, "edge-1")
	if s := New(p.join.config, slog.New(slog.DiscardHandler)); s.refusal(stranger) == nil || s.refusal(deviceOf(t, old)) == nil {
		t.Error("a replaced machine is let in after a restart")
	}
}

func TestKeepBarredNeverForgets(t *testing.T) {
	host, err := (&barred{Replaced: []wire.Pin{{1}}, Revoked: map[wire.Pin]string{{2}: "a"}, kept: &barred{Revoked: map[wire.Pin]string{{2}: "a"}}}).encode()
	if err != nil {
		t.Fatal(err)
	}
	came, err := (&barred{Replaced: []wire.Pin{{1}, {3}}, Revoked: map[wire.Pin]string{{4}: "b"}}).encode()
	if err != nil {
		t.Fatal(err)
	}
	text, err := KeepBarred(host, came)
	if err != nil {
		t.Fatal(err)
	}
	b, err := parseBarred(text)
	if err != nil || len(b.Replaced) != 2 || len(b.Revoked) != 2 || len(b.kept.Replaced) != 2 || len(b.kept.Revoked) != 2 {
		t.Errorf("%s, %v", text, err)
	}
	if text, err := KeepBarred([]byte("{}"), nil); text != nil || err != nil {
		t.Errorf("nobody is barred: %q, %v", text, err)
	}
	if _, err := KeepBarred([]byte("{"), nil); err == nil || !strings.Contains(err.Error(), "refuses") {
		t.Errorf("a file that cannot be read: %v", err)
	}
}
