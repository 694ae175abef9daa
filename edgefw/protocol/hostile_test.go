package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"runtime"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/kedge-io/kedge/edgefw/model"
)

// zeroes is an endless reader behind a beginning.
func zeroes(first ...byte) io.Reader { return io.MultiReader(bytes.NewReader(first), zero{}) }

type zero struct{}

func (zero) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// bomb is a frame that unpacks to n zeroes.
func bomb(t testing.TB, kind byte, n int) []byte {
	t.Helper()
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer encoder.Close()
	packed := encoder.EncodeAll(make([]byte, n), nil)
	head := []byte{kind | flagZstd, byte(len(packed) >> 16), byte(len(packed) >> 8), byte(len(packed))}
	return append(head, packed...)
}

func TestHostileFramesAreRefused(t *testing.T) {
	header := must(json.Marshal(updateHeader{Parts: maxParts + 1}))(t)
	for what, wire := range map[string]io.Reader{
		"no kind":                  bytes.NewReader([]byte{0, 0, 0, 0}),
		"an unknown kind":          bytes.NewReader([]byte{9, 0, 0, 0}),
		"a long frame":             zeroes(frameHello, 0xff, 0xff, 0xff),
		"a long acknowledgement":   zeroes(frameAck, 0, 0xff, 0xff),
		"empty frames for ever":    zeroes(frameHello|flagMore, 0, 0, 0),
		"frames of another kind":   bytes.NewReader([]byte{frameHello | flagMore, 0, 0, 1, 'x', frameAck, 0, 0, 1, 'x'}),
		"more than it unpacks":     bytes.NewReader(bomb(t, frameHello, MaxFrame+1)),
		"a bomb":                   bytes.NewReader(bomb(t, frameHello, 64<<20)),
		"nothing packed":           bytes.NewReader([]byte{frameHello | flagZstd, 0, 0, 0}),
		"no JSON":                  bytes.NewReader([]byte{frameHello, 0, 0, 1, '{'}),
		"a server's words":         bytes.NewReader([]byte{frameUpdate, 0, 0, 2, '{', '}'}),
		"a part without an update": bytes.NewReader([]byte{framePart, 0, 0, 3, 'h', 0, 0}),
	} {
		if hello, ack, err := NewReader(wire).FromNode(); !errors.Is(err, errFrame) {
			t.Errorf("%s: %v %v %v", what, hello, ack, err)
		}
	}
	for what, wire := range map[string][]byte{
		"too many parts":    must(appendMessage(nil, frameUpdate, header, false))(t),
		"a negative number": must(appendMessage(nil, frameUpdate, []byte(`{"parts":-1}`), false))(t),
		"a node's words":    must(AppendAck(nil, Ack{}))(t),
		"a short part":      must(appendMessage(must(AppendUpdateHeader(nil, 1, Hash{}, nil, 1))(t), framePart, []byte{'h'}, false))(t),
		"a cut name":        must(appendMessage(must(AppendUpdateHeader(nil, 1, Hash{}, nil, 1))(t), framePart, []byte{'s', 0, 9, 'x'}, false))(t),
		"a header instead":  append(must(AppendUpdateHeader(nil, 1, Hash{}, nil, 1))(t), must(AppendUpdateHeader(nil, 1, Hash{}, nil, 1))(t)...),
	} {
		if u, err := NewReader(bytes.NewReader(wire)).Update(); !errors.Is(err, errFrame) {
			t.Errorf("%s: %v %v", what, u, err)
		}
	}
}

func TestMessagesAreBounded(t *testing.T) {
	// Full frames of zeroes until the limit of a message.
	frame := append([]byte{frameHello | flagMore, 4, 0, 0}, make([]byte, MaxFrame)...)
	if _, _, err := NewReader(&repeat{frame: frame}).FromNode(); !errors.Is(err, errFrame) {
		t.Errorf("a Hello without end: %v", err)
	}
	parts := must(AppendUpdateHeader(nil, 1, Hash{}, nil, 1000))(t)
	body := must(AppendPart(nil, Part{Kind: KindSet, Set: "s", Body: make([]byte, maxPartBody)}))(t)
	if _, err := NewReader(io.MultiReader(bytes.NewReader(parts), &repeat{frame: body})).Update(); !errors.Is(err, errFrame) {
		t.Errorf("an update without end: %v", err)
	}
}

type repeat struct {
	frame, rest []byte
}

func (r *repeat) Read(b []byte) (int, error) {
	if len(r.rest) == 0 {
		r.rest = r.frame
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestNothingIsAllocatedOnAPromise(t *testing.T) {
	const room = 1 << 20
	many := []byte{setPrefixes, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3}
	for what, f := range map[string]func(){
		"prefixes that do not come": func() { _, _ = DecodeSet(many) },
		"a delta of them":           func() { _, _ = DecodeDelta(append(make([]byte, 32), many[1:]...)) },
		"parts that do not come": func() {
			_, _ = NewReader(bytes.NewReader(must(AppendUpdateHeader(nil, 1, Hash{}, nil, maxParts))(t))).Update()
		},
		"a frame that does not come": func() { _, _, _ = NewReader(bytes.NewReader([]byte{frameHello, 4, 0, 0})).FromNode() },
	} {
		if n := allocated(f); n > room {
			t.Errorf("%s: %d bytes", what, n)
		}
	}
}

func TestRulesAreBounded(t *testing.T) {
	var rules []model.HostRule
	for range maxObjects + 1 {
		rules = append(rules, model.HostRule{})
	}
	if _, err := EncodeHost(model.HostRules{Ingress: model.Chain{Rules: rules}}); err == nil {
		t.Error("too many rules travel")
	}
	body := []byte(`{"ingress":{"rules":[` + string(bytes.Repeat([]byte("{},"), maxObjects)) + `{}]},"egress":{}}`)
	if _, err := DecodeHost(body); err == nil {
		t.Error("too many rules are read")
	}
	if _, err := DecodeHost(make([]byte, maxPartBody+1)); err == nil {
		t.Error("too many bytes are read")
	}
}
