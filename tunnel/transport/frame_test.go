package transport

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/tunnel"
)

func FuzzReadFrame(f *testing.F) {
	f.Add(appendHeader(nil, frameOpened, 0))
	f.Add(append(appendHeader(nil, frameData, 2), 'h', 'i'))
	f.Add(appendCredit(nil, Window))
	f.Add(appendEnd(nil, tunnel.Ending{Code: tunnel.EndAccess, Text: "no"}))
	f.Add([]byte{frameData, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, in []byte) {
		r, buf := bytes.NewReader(in), make([]byte, maxData)
		for {
			kind, payload, err := readFrame(r, buf)
			if err != nil {
				return
			}
			if err := checkLength(kind, len(payload)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestReadFrameRefusesWhatNoEndSends(t *testing.T) {
	for name, in := range map[string][]byte{
		"unknown type":   appendHeader(nil, 9, 0),
		"empty data":     appendHeader(nil, frameData, 0),
		"too much data":  appendHeader(nil, frameData, maxData+1),
		"short credit":   appendHeader(nil, frameCredit, 3),
		"fin with bytes": appendHeader(nil, frameFin, 1),
		"end, no code":   appendHeader(nil, frameEnd, 0),
	} {
		t.Run(name, func(t *testing.T) {
			r := io.MultiReader(bytes.NewReader(in), strings.NewReader(strings.Repeat("x", maxData+1)))
			if _, _, err := readFrame(r, make([]byte, maxData)); !errors.Is(err, errProtocol) {
				t.Fatalf("got %v", err)
			}
		})
	}
}

func TestFrameOfAnEndIsBounded(t *testing.T) {
	e := tunnel.Ending{Code: tunnel.EndAccess, Text: strings.Repeat("r", 2*maxReason)}
	_, payload, err := readFrame(bytes.NewReader(appendEnd(nil, e)), make([]byte, maxData))
	if err != nil || len(payload) != 1+maxReason {
		t.Errorf("%d bytes, %v", len(payload), err)
	}
}

func TestStreamRefusesDataAndCreditBeyondTheWindow(t *testing.T) {
	st := newStream(&Session{ctx: t.Context(), cfg: Config{}.withDefaults()}, tunnel.TargetProof)
	defer st.cancel()
	chunk := make([]byte, maxData)
	for range Window / maxData {
		if err := st.take(frameData, chunk); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.take(frameData, chunk[:1]); !errors.Is(err, errProtocol) {
		t.Errorf("data: %v", err)
	}
	if err := st.take(frameCredit, []byte{0, 0, 0, 1}); !errors.Is(err, errProtocol) {
		t.Errorf("credit: %v", err)
	}
	if err := errors.Join(st.take(frameFin, nil), st.take(frameData, chunk)); !errors.Is(err, errProtocol) {
		t.Errorf("data after its end: %v", err)
	}
}

func TestSessionHoldsNoMoreThanItsLimitOfUnreadBytes(t *testing.T) {
	session := &Session{ctx: t.Context(), cfg: Config{MaxBuffered: Window + maxData}.withDefaults()}
	defer session.control.stop()
	chunk := make([]byte, maxData)
	first, second := newStream(session, tunnel.TargetProof), newStream(session, tunnel.TargetProof)
	for range Window / maxData {
		if err := first.take(frameData, chunk); err != nil {
			t.Fatal(err)
		}
	}
	if err := second.take(frameData, chunk); err != nil {
		t.Fatal(err)
	}
	if err := second.take(frameData, chunk); !errors.Is(err, errOverload) {
		t.Errorf("data beyond the limit: %v", err)
	}
	if _, err := first.Read(make([]byte, maxData)); err != nil {
		t.Fatal(err)
	}
	if err := second.take(frameData, chunk); err != nil {
		t.Errorf("what was read does not make room: %v", err)
	}
	_, _ = first.Close(), second.Close()
	if n := session.unread.Load(); n != 0 {
		t.Errorf("%d bytes are still accounted for", n)
	}
}
