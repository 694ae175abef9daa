package mux

import (
	"errors"

	"github.com/kedge-io/kedge/tunnel"
)

// Reason codes of refused, end and abort; stable on the wire.
const (
	endNormal byte = iota
	endAborted
	endAccess
	endDial
	endOverload
	endProtocol
)

var refusals = map[byte]tunnel.Refusal{
	endAborted:  tunnel.RefusedDial,
	endAccess:   tunnel.RefusedAccess,
	endDial:     tunnel.RefusedDial,
	endOverload: tunnel.RefusedOverload,
	endProtocol: tunnel.RefusedProtocol,
}

// ending is why an end has done with a stream.
type ending struct {
	code byte
	text string
}

func parseEnding(p []byte) ending { return ending{p[0], string(p[1:])} }

// endingOf puts why a dial did not work into a frame; a refusal keeps its kind.
func endingOf(err error) ending {
	var refused *tunnel.RefusedError
	if !errors.As(err, &refused) {
		return ending{endDial, err.Error()}
	}
	for code, kind := range refusals {
		if kind == refused.Kind && code != endAborted {
			return ending{code, refused.Reason}
		}
	}
	return ending{endAborted, refused.Reason}
}

func (e ending) append(b []byte, k kind, id uint32) []byte {
	text := e.text[:min(len(e.text), maxReason)]
	return append(append(appendHeader(b, k, id, 1+len(text)), e.code), text...)
}

// refusal is what the one who asked gets.
func (e ending) refusal(t tunnel.Target) error {
	kind, ok := refusals[e.code]
	if !ok {
		kind = tunnel.RefusedProtocol
	}
	return &tunnel.RefusedError{What: "dial " + t.String(), Kind: kind, Reason: e.text}
}
