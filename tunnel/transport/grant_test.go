package transport

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/tunnel"
)

// granted returns both ends of a grant.
func granted(t testing.TB) (hub, node *Grant) {
	t.Helper()
	hub = NewGrant()
	var wire bytes.Buffer
	if _, err := hub.WriteTo(&wire); err != nil {
		t.Fatal(err)
	}
	node, err := ReadGrant(&wire)
	if err != nil {
		t.Fatal(err)
	}
	return hub, node
}

func TestRequestForALanePassesOnce(t *testing.T) {
	hub, node := granted(t)
	first := node.sign(tunnel.LaneBulk, 1)
	if err := hub.Check(first); err != nil {
		t.Fatal(err)
	}
	if err := hub.Check(first); !errors.Is(err, ErrForged) {
		t.Errorf("the second time: %v", err)
	}
	for what, change := range map[string]func(l *LaneRequest){
		"class": func(l *LaneRequest) { l.Class = tunnel.LaneRelay },
		"index": func(l *LaneRequest) { l.Index = 0 },
		"seq":   func(l *LaneRequest) { l.seq++ },
		"proof": func(l *LaneRequest) { l.mac[0] ^= 1 },
	} {
		l := node.sign(tunnel.LaneBulk, 1)
		change(&l)
		if err := hub.Check(l); !errors.Is(err, ErrForged) {
			t.Errorf("another %s: %v", what, err)
		}
	}
	if err := NewGrant().Check(node.sign(tunnel.LaneBulk, 1)); !errors.Is(err, ErrForged) {
		t.Errorf("another session: %v", err)
	}
}

func TestRequestsMayComeOutOfOrderWithinAWindow(t *testing.T) {
	hub, node := granted(t)
	var list []LaneRequest
	for range 3 * replayWindow {
		list = append(list, node.sign(tunnel.LaneInteractive, 0))
	}
	late, newest := list[replayWindow], list[2*replayWindow-1]
	if err := hub.Check(newest); err != nil {
		t.Fatal(err)
	}
	if err := hub.Check(late); err != nil {
		t.Errorf("the oldest of the window: %v", err)
	}
	if err := hub.Check(late); !errors.Is(err, ErrForged) {
		t.Errorf("the same again: %v", err)
	}
	if err := hub.Check(list[replayWindow-1]); !errors.Is(err, ErrForged) {
		t.Errorf("one before the window: %v", err)
	}
	if err := hub.Check(list[3*replayWindow-1]); err != nil {
		t.Errorf("a jump by a window: %v", err)
	}
	if err := hub.Check(newest); !errors.Is(err, ErrForged) {
		t.Errorf("one that was used before the jump: %v", err)
	}
}

func TestLaneRequestCrossesHeaders(t *testing.T) {
	_, node := granted(t)
	want := node.sign(tunnel.LaneBulk, 1)
	header := http.Header{}
	want.write(header)
	got, err := ReadLane(header)
	if err != nil || got != want || !IsLane(header) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestGrantOfALaterVersionIsRead(t *testing.T) {
	wire := append([]byte{0, 40}, bytes.Repeat([]byte{7}, 40)...)
	if _, err := ReadGrant(bytes.NewReader(wire)); err != nil {
		t.Error(err)
	}
	for _, bad := range [][]byte{{0, 31}, {2, 1}, {0, 32, 1, 2, 3}, {}} {
		if _, err := ReadGrant(bytes.NewReader(bad)); err == nil {
			t.Errorf("% x was taken", bad)
		}
	}
}

// What passes the parser is written back as it came: there is one reading.
func FuzzReadLane(f *testing.F) {
	_, node := granted(f)
	header := http.Header{}
	node.sign(tunnel.LaneBulk, 1).write(header)
	f.Add(header.Get(headerLane), header.Get(headerSession))
	f.Add("interactive/0", "1."+strings.Repeat("0", 64))
	f.Add("interactive/00", "01."+strings.Repeat("A", 64))
	f.Add("control/0", "1.")
	f.Add("bulk/256", "18446744073709551616."+strings.Repeat("f", 64))
	f.Add("", "")
	f.Fuzz(func(t *testing.T, lane, session string) {
		header := http.Header{headerLane: {lane}, headerSession: {session}}
		l, err := ReadLane(header)
		if err != nil {
			return
		}
		if l.Index < 0 || l.Index > maxIndex || l.Class.Max() == 0 || NewGrant().Check(l) == nil {
			t.Fatalf("%q %q became %+v", lane, session, l)
		}
		again := http.Header{}
		l.write(again)
		if again.Get(headerLane) != lane || again.Get(headerSession) != session {
			t.Fatalf("%q %q was written as %v", lane, session, again)
		}
	})
}

func FuzzReadGrant(f *testing.F) {
	var wire bytes.Buffer
	_, _ = NewGrant().WriteTo(&wire)
	f.Add(wire.Bytes())
	f.Add([]byte{0, 31})
	f.Add([]byte{255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		g, err := ReadGrant(r)
		if read := len(b) - r.Len(); read > 2+maxGrant {
			t.Fatalf("%d bytes were read", read)
		}
		if err == nil && !bytes.Equal(g.secret[:], b[2:2+secretSize]) {
			t.Fatal("another secret was read")
		}
	})
}

func FuzzHello(f *testing.F) {
	f.Add("lanes, relay", "v1.0.0", "1", "503", "2")
	f.Add(",, lanes ,\x00", strings.Repeat("x", 300), "2, 1", "", "-1")
	f.Fuzz(func(t *testing.T, capabilities, software, versions, refusal, after string) {
		header := http.Header{
			headerCapabilities: {capabilities}, headerSoftware: {software}, headerVersions: {versions},
			headerRefusal: {refusal}, "Retry-After": {after},
		}
		h := readHello(header, Version)
		if len(h.Software) > maxHello || len(h.Capabilities) > maxHello {
			t.Fatalf("%d and %d", len(h.Software), len(h.Capabilities))
		}
		for _, word := range h.Capabilities {
			if word == "" || strings.ContainsAny(word, ",\n\x00") {
				t.Fatalf("capability %q", word)
			}
		}
		if d := retryAfter(header); d < 0 || d > maxRetryAfter {
			t.Fatalf("retry after %v", d)
		}
		_ = agree(header)
	})
}

func FuzzMessageHeader(f *testing.F) {
	f.Add(messageHeader(true))
	f.Add(messageHeader(false))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		err := readMessageHeader(r)
		if read := len(b) - r.Len(); read > len(messageHeader(true)) {
			t.Fatalf("%d bytes were read", read)
		}
		if err == nil && !bytes.HasPrefix(b, messageHeader(true)) {
			t.Fatalf("% x was taken", b)
		}
	})
}
