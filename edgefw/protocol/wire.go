package protocol

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/kedge-io/kedge/edgefw/model"
)

// AppendHello appends the frames of a Hello.
func AppendHello(b []byte, h Hello) ([]byte, error) { return appendJSON(b, frameHello, h, false) }

// AppendAck appends the frames of an Ack.
func AppendAck(b []byte, a Ack) ([]byte, error) {
	a.Reason = printable(a.Reason)
	return appendJSON(b, frameAck, a, false)
}

// updateHeader is what comes before the parts of an update.
type updateHeader struct {
	Revision uint64        `json:"revision"`
	Root     Hash          `json:"root"`
	Parts    int           `json:"parts"`
	Drop     []model.SetID `json:"drop,omitempty"`
}

// AppendUpdateHeader appends the header of an update whose parts follow, as many
// as it says; see [AppendPart].
func AppendUpdateHeader(b []byte, revision uint64, root Hash, drop []model.SetID, parts int) ([]byte, error) {
	if parts > maxParts {
		return nil, fmt.Errorf("an update with %d parts, at most %d are allowed", parts, maxParts)
	}
	return appendJSON(b, frameUpdate, updateHeader{revision, root, parts, drop}, true)
}

// AppendPart appends the frames of a part, which are the same for every node.
func AppendPart(b []byte, p Part) ([]byte, error) {
	if len(p.Set) > maxID {
		return nil, fmt.Errorf("set %.80q...: its name has more than %d bytes", p.Set, maxID)
	}
	payload := make([]byte, 0, 3+len(p.Set)+len(p.Body))
	payload = append(payload, byte(p.Kind), byte(len(p.Set)>>8), byte(len(p.Set)))
	payload = append(append(payload, p.Set...), p.Body...)
	return appendMessage(b, framePart, payload, true)
}

// AppendUpdate appends all of an update.
func AppendUpdate(b []byte, u Update) ([]byte, error) {
	b, err := AppendUpdateHeader(b, u.Revision, u.Root, u.Drop, len(u.Parts))
	for _, p := range u.Parts {
		if err != nil {
			return nil, err
		}
		b, err = AppendPart(b, p)
	}
	return b, err
}

func appendJSON(b []byte, kind byte, v any, zip bool) ([]byte, error) {
	payload, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return appendMessage(b, kind, payload, zip)
}

// FromNode reads what a node says: one of hello and ack is set.
func (r *Reader) FromNode() (hello *Hello, ack *Ack, err error) {
	kind, payload, err := r.message()
	if err != nil {
		return nil, nil, err
	}
	switch kind {
	case frameHello:
		hello = &Hello{}
		err = parse("hello", payload, hello)
		hello.Software = printable(hello.Software)
		return hello, nil, err
	case frameAck:
		ack = &Ack{}
		err = parse("acknowledgement", payload, ack)
		ack.check()
		return nil, ack, err
	}
	return nil, nil, fmt.Errorf("%w: a node sent a message of kind %d", errFrame, kind)
}

// check makes what a node says harmless.
func (a *Ack) check() {
	switch a.State {
	case StateApplied, StateProven, StateRolledBack, StateFailed:
	default:
		a.State, a.Reason = StateFailed, fmt.Sprintf("the node says %.32q, which this server does not know: %s", a.State, a.Reason)
	}
	a.Reason = printable(a.Reason)
}

// Update reads what a server says.
func (r *Reader) Update() (*Update, error) {
	kind, payload, err := r.message()
	if err != nil {
		return nil, err
	}
	var header updateHeader
	if kind != frameUpdate {
		return nil, fmt.Errorf("%w: a message of kind %d instead of an update", errFrame, kind)
	}
	if err := parse("update", payload, &header); err != nil {
		return nil, err
	}
	if header.Parts < 0 || header.Parts > maxParts {
		return nil, fmt.Errorf("%w: an update with %d parts", errFrame, header.Parts)
	}
	u := &Update{Revision: header.Revision, Root: header.Root, Drop: header.Drop}
	for size := 0; len(u.Parts) < header.Parts; {
		p, err := r.part()
		if err != nil {
			return nil, err
		}
		if size += len(p.Body); size > MaxUpdate {
			return nil, fmt.Errorf("%w: an update of more than %d bytes", errFrame, MaxUpdate)
		}
		u.Parts = append(u.Parts, p)
	}
	return u, nil
}

func (r *Reader) part() (p Part, err error) {
	kind, payload, err := r.message()
	if err != nil {
		return p, err
	}
	if kind != framePart || len(payload) < 3 {
		return p, fmt.Errorf("%w: a message of kind %d with %d bytes instead of a part", errFrame, kind, len(payload))
	}
	n := int(payload[1])<<8 | int(payload[2])
	if p.Kind = Kind(payload[0]); n > maxID || len(payload) < 3+n {
		return p, fmt.Errorf("%w: the name of a part has %d bytes", errFrame, n)
	}
	p.Set, p.Body = model.SetID(payload[3:3+n]), payload[3+n:]
	return p, nil
}

func parse(what string, payload []byte, into any) error {
	if err := json.Unmarshal(payload, into); err != nil {
		return fmt.Errorf("%w: %s: %w", errFrame, what, err)
	}
	return nil
}

// printable keeps a text of the other end harmless.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s[:min(len(s), MaxReason)], ""))
}

// WriteHello sends a Hello in one write.
func WriteHello(w io.Writer, h Hello) error { return send(w)(AppendHello(nil, h)) }

// WriteAck sends an Ack in one write.
func WriteAck(w io.Writer, a Ack) error { return send(w)(AppendAck(nil, a)) }

func send(w io.Writer) func([]byte, error) error {
	return func(b []byte, err error) error {
		if err == nil {
			_, err = w.Write(b)
		}
		return err
	}
}
