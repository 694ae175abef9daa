package tunnel

import (
	"errors"
	"strings"
)

// EndCode says in one byte why an end has done with a stream. The codes are the
// same on every lane and stable on the wire.
type EndCode byte

// The codes.
const (
	EndNormal EndCode = iota
	EndAborted
	EndAccess
	EndDial
	EndOverload
	EndProtocol
)

var endings = map[EndCode]Refusal{
	EndAborted:  RefusedDial,
	EndAccess:   RefusedAccess,
	EndDial:     RefusedDial,
	EndOverload: RefusedOverload,
	EndProtocol: RefusedProtocol,
}

// Ending is why an end has done with a stream.
type Ending struct {
	Code EndCode
	// Text is for people; it comes from the other end.
	Text string
}

// EndWith returns an ending for an error.
func EndWith(code EndCode, err error) Ending { return Ending{code, err.Error()} }

// EndingOf says why a dial did not work; a refusal keeps its kind.
func EndingOf(err error) Ending {
	var refused *RefusedError
	if !errors.As(err, &refused) {
		return EndWith(EndDial, err)
	}
	for code, kind := range endings {
		if kind == refused.Kind && code != EndAborted {
			return Ending{code, refused.Reason}
		}
	}
	return Ending{EndAborted, refused.Reason}
}

// Refusal is what the one gets who asked for t.
func (e Ending) Refusal(t Target) error {
	kind, ok := endings[e.Code]
	if !ok {
		kind = RefusedProtocol
	}
	return &RefusedError{What: "dial " + t.String(), Kind: kind, Reason: e.Text}
}

// ParseEnding reads what Append wrote, at least one byte. The text is made
// printable, as it gets into logs and onto terminals.
func ParseEnding(p []byte) Ending {
	return Ending{EndCode(p[0]), strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, string(p[1:]))}
}

// Append appends the code and at most maxText bytes of the text.
func (e Ending) Append(b []byte, maxText int) []byte {
	return append(append(b, byte(e.Code)), e.Text[:min(len(e.Text), maxText)]...)
}

// Size is how many bytes Append appends.
func (e Ending) Size(maxText int) int { return 1 + min(len(e.Text), maxText) }
