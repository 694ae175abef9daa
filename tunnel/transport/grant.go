package transport

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/kedge-io/kedge/tunnel"
)

// secretSize is that of a session's secret, in bytes.
const secretSize = sha256.Size

// maxGrant bounds the grant on the wire, in bytes. What a later version adds
// behind the secret is read and left alone.
const maxGrant = 512

// maxIndex bounds the index of a lane on the wire. What is really allowed per
// class is the hub's decision.
const maxIndex = 15

// replayWindow is how far behind the newest request of a session another one
// may arrive: lanes are opened side by side.
const replayWindow = 64

// ErrForged says that a request for a lane does not belong to the session: its
// proof is wrong, was used before, or is that of another session.
var ErrForged = errors.New("the proof of the lane is not of this session, or was used before")

// Grant lets a node open lanes beside one control session. The hub makes it
// and sends it over the proven control session; both ends then hold the same
// secret. It may be used from any goroutine.
type Grant struct {
	secret [secretSize]byte

	mu   sync.Mutex
	seq  uint64 // the newest that was signed here, or seen from the other end
	seen uint64 // bit n: seq-n was seen
}

// NewGrant returns a grant with a secret of its own.
func NewGrant() *Grant {
	g := &Grant{}
	_, _ = rand.Read(g.secret[:]) // never fails since Go 1.24
	return g
}

// WriteTo sends the grant: two bytes of length (big endian), the secret.
func (g *Grant) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(append(binary.BigEndian.AppendUint16(nil, secretSize), g.secret[:]...))
	return int64(n), err
}

// ReadGrant reads what WriteTo wrote.
func ReadGrant(r io.Reader) (*Grant, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, fmt.Errorf("read the grant of lanes: %w", err)
	}
	n := int(binary.BigEndian.Uint16(length[:]))
	if n < secretSize || n > maxGrant {
		return nil, fmt.Errorf("%w: a grant of lanes with %d bytes", errProtocol, n)
	}
	g := &Grant{}
	if _, err := io.ReadFull(r, g.secret[:]); err != nil {
		return nil, fmt.Errorf("read the grant of lanes: %w", err)
	}
	if _, err := io.CopyN(io.Discard, r, int64(n-secretSize)); err != nil {
		return nil, fmt.Errorf("read the grant of lanes: %w", err)
	}
	return g, nil
}

// LaneRequest is what a node says when it opens a lane. All of it is covered
// by a proof that serves once.
type LaneRequest struct {
	Class tunnel.Lane
	Index int
	seq   uint64
	mac   [sha256.Size]byte
}

// sign makes the request for one more lane, at the node's end.
func (g *Grant) sign(class tunnel.Lane, index int) LaneRequest {
	g.mu.Lock()
	g.seq++
	l := LaneRequest{Class: class, Index: index, seq: g.seq}
	g.mu.Unlock()
	l.mac = g.proof(l)
	return l
}

// Check says whether the request is of this grant and was not made before. A
// request that passed does not pass again.
func (g *Grant) Check(l LaneRequest) error {
	want := g.proof(l)
	if !hmac.Equal(want[:], l.mac[:]) {
		return ErrForged
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case l.seq > g.seq:
		if shift := l.seq - g.seq; shift < replayWindow {
			g.seen <<= shift
		} else {
			g.seen = 0
		}
		g.seq = l.seq
		g.seen |= 1
		return nil
	case g.seq-l.seq >= replayWindow:
		return ErrForged
	}
	bit := uint64(1) << (g.seq - l.seq)
	if g.seen&bit != 0 {
		return ErrForged
	}
	g.seen |= bit
	return nil
}

func (g *Grant) proof(l LaneRequest) [sha256.Size]byte {
	h := hmac.New(sha256.New, g.secret[:])
	_, _ = fmt.Fprintf(h, "kedge lane\x00%s\x00%d\x00%d", l.Class, l.Index, l.seq)
	return [sha256.Size]byte(h.Sum(nil))
}

// Headers of a request for a lane: "class/index", and "sequence.proof" with a
// decimal number and lower-case hexadecimal digits.
const (
	headerLane    = "Kedge-Tunnel-Lane"
	headerSession = "Kedge-Tunnel-Session"
)

func (l LaneRequest) write(header http.Header) {
	header.Set(headerLane, string(l.Class)+"/"+strconv.Itoa(l.Index))
	header.Set(headerSession, strconv.FormatUint(l.seq, 10)+"."+hex.EncodeToString(l.mac[:]))
}

// IsLane says that a handshake is for a lane of a session that exists, and not
// for a new control session.
func IsLane(header http.Header) bool { return len(header[headerLane]) > 0 }

// ReadLane reads the headers of a request for a lane. It checks their form and
// nothing else; see [Grant.Check].
func ReadLane(header http.Header) (LaneRequest, error) {
	var l LaneRequest
	if len(header[headerLane]) != 1 || len(header[headerSession]) != 1 {
		return l, fmt.Errorf("%w: a lane needs one header %s and one %s", errProtocol, headerLane, headerSession)
	}
	class, index, _ := strings.Cut(header.Get(headerLane), "/")
	switch l.Class = tunnel.Lane(class); l.Class {
	case tunnel.LaneInteractive, tunnel.LaneBulk, tunnel.LaneRelay:
	default:
		return l, fmt.Errorf("%w: header %s names class %.20q", errProtocol, headerLane, class)
	}
	n, err := strconv.ParseUint(index, 10, 8)
	if err != nil || n > maxIndex || strconv.FormatUint(n, 10) != index {
		return l, fmt.Errorf("%w: header %s has index %.20q", errProtocol, headerLane, index)
	}
	l.Index = int(n)
	seq, mac, _ := strings.Cut(header.Get(headerSession), ".")
	if l.seq, err = strconv.ParseUint(seq, 10, 64); err != nil || strconv.FormatUint(l.seq, 10) != seq || l.seq == 0 {
		return l, fmt.Errorf("%w: header %s lacks a number", errProtocol, headerSession)
	}
	if len(mac) != 2*len(l.mac) || strings.ToLower(mac) != mac {
		return l, fmt.Errorf("%w: header %s lacks a proof", errProtocol, headerSession)
	}
	if _, err := hex.Decode(l.mac[:], []byte(mac)); err != nil {
		return l, fmt.Errorf("%w: header %s: %w", errProtocol, headerSession, err)
	}
	return l, nil
}
