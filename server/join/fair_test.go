package join

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
)

// slowly begins to renew and sends only the first byte of its body, until the end is
// closed.
func (p *plant) slowly(t *testing.T, m *machine) (end io.Closer, answered <-chan int) {
	t.Helper()
	body, more := io.Pipe()
	config := pki.ServerTLS(pki.Pool(p.ca), time.Now)
	config.Certificates = append(config.Certificates, *m.cert)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL+wire.PathRenew, body)
	if err != nil {
		t.Fatal(err)
	}
	status := make(chan int, 1)
	go func() {
		response, err := (&http.Transport{TLSClientConfig: config}).RoundTrip(r)
		if err != nil {
			status <- 0
			return
		}
		_ = response.Body.Close()
		status <- response.StatusCode
	}()
	if _, err := more.Write([]byte("{")); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		t.Fatal(err)
	}
	return more, status
}

func TestSlowMachinesKeepNobodyOut(t *testing.T) {
	p := newPlant(t, nil)
	token, hostile, other := p.token(t, TokenOptions{}), newMachine(t), newMachine(t)
	p.admitted(t, hostile, token, "edge-1")
	p.admitted(t, other, token, "edge-2")
	for range maxConcurrent - 1 {
		p.join.slots <- struct{}{}
	}
	end, answered := p.slowly(t, hostile)
	eventually(t, "the slow one is at work", func() bool { _, at := p.join.working.Load(deviceOf(t, hostile)); return at })
	eventually(t, "another machine renews meanwhile", func() bool {
		_, refusal := p.ask(t, other, wire.PathRenew, "", other.request(t, p, "edge-2"))
		return refusal == nil
	})
	if _, refusal := p.ask(t, hostile, wire.PathRenew, "", hostile.request(t, p, "edge-1")); refusal == nil || refusal.Code != wire.CodeBusy {
		t.Error("a second request of the slow one:", refusal)
	}
	_ = end.Close()
	if status := <-answered; status != http.StatusBadRequest {
		t.Error("half a request:", status)
	}
	if _, refusal := p.ask(t, hostile, wire.PathRenew, "", hostile.request(t, p, "edge-1")); refusal != nil {
		t.Error("the next request:", refusal)
	}
}

func TestWhoFindsNoSlotAfterSendingIsToldToComeAgain(t *testing.T) {
	p := newPlant(t, nil)
	m := newMachine(t)
	p.admitted(t, m, p.token(t, TokenOptions{}), "edge-1")
	text, err := json.Marshal(m.request(t, p, "edge-1"))
	if err != nil {
		t.Fatal(err)
	}
	end, answered := p.slowly(t, m)
	eventually(t, "it is at work", func() bool { _, at := p.join.working.Load(deviceOf(t, m)); return at && len(p.join.slots) == 0 })
	for range maxConcurrent {
		p.join.slots <- struct{}{}
	}
	if _, err := io.Copy(end.(io.Writer), bytes.NewReader(text[1:])); err != nil {
		t.Fatal(err)
	}
	_ = end.Close()
	if status := <-answered; status != http.StatusServiceUnavailable {
		t.Error(status)
	}
	if n := len(p.join.slots); n != maxConcurrent {
		t.Errorf("%d slots are taken, want %d: one was given back twice", n, maxConcurrent)
	}
}

func TestNoMachineThatWasReplacedIsForgotten(t *testing.T) {
	claim := &Claim{Node: "edge-1", Former: make([]wire.Pin, maxFormer-1), Device: wire.Pin{1}}
	for i := range claim.Former {
		claim.Former[i] = wire.Pin{byte(i), byte(i >> 8), 2}
	}
	api := newAPI()
	put(t, api, claim)
	nodes := NewNodes(api)
	if err := nodes.Replace(t.Context(), "edge-1"); err != nil {
		t.Fatal(err)
	}
	got, err := nodes.Get(t.Context(), "edge-1")
	if err != nil || len(got.Former) != maxFormer || got.Former[0] != claim.Former[0] {
		t.Fatalf("%d are remembered: %v", len(got.Former), err)
	}
	if err := nodes.Take(t.Context(), "edge-1", wire.Pin{3}); err != nil {
		t.Fatal(err)
	}
	if err := nodes.Replace(t.Context(), "edge-1"); err == nil || !strings.Contains(err.Error(), "--node-name") {
		t.Error("one more:", err)
	}
	if size := len(joinPins(got.Former)); size > 1<<20-1<<16 {
		t.Errorf("the record has %d bytes, and a Secret at most 1 MiB", size)
	}
}
