package tunnel

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestEndingKeepsTheKindOfARefusal(t *testing.T) {
	const most = 100
	for _, kind := range []Refusal{RefusedAccess, RefusedDial, RefusedOverload, RefusedProtocol} {
		sent := EndingOf(fmt.Errorf("dial: %w", &RefusedError{Kind: kind, Reason: strings.Repeat("r", 2*most)}))
		wire := sent.Append(nil, most)
		if len(wire) != sent.Size(most) || len(wire) != 1+most {
			t.Errorf("%s: %d bytes", kind, len(wire))
		}
		var got *RefusedError
		if err := ParseEnding(wire).Refusal(TargetEcho); !errors.As(err, &got) || got.Kind != kind {
			t.Errorf("%s became %v", kind, err)
		}
	}
	var got *RefusedError
	if err := (Ending{Code: 200}).Refusal(TargetEcho); !errors.As(err, &got) || got.Kind != RefusedProtocol {
		t.Errorf("a code that nobody knows became %v", err)
	}
	if e := EndingOf(errors.New("connection refused")); e.Code != EndDial || e.Text != "connection refused" {
		t.Errorf("an error of a dial became %v", e)
	}
}
