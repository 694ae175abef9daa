package probe

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

// The layout of a message; numbers are big-endian. What follows the header is
// zeros up to the wanted length.
//
//	 0  4 magic and version
//	 4  8 run: random, of this start of the sender's agent
//	12  8 sequence number of the message within the run
//	20  8 nonce: the sender's challenge
//	28  8 echo: the receiver's latest challenge that the sender has heard
//	36 16 HMAC-SHA256 of the whole message with zeros here, cut to 16 bytes
const (
	magic     = "kpb1"
	macOffset = 36
	macLength = 16
	// HeaderLength is the length of the shortest message in bytes.
	HeaderLength = macOffset + macLength
	// MaxLength is that of the longest: a jumbo frame's IP payload.
	MaxLength = 9000
	// ipAndUDP are the bytes that an IPv4 packet needs besides a message.
	ipAndUDP = 28
)

var errMessage = errors.New("not a probe of this version")

type message struct {
	run, seq, nonce, echo uint64
	// length of the whole message in bytes.
	length int
}

func encode(m message, key []byte) []byte {
	b := make([]byte, min(max(m.length, HeaderLength), MaxLength))
	copy(b, magic)
	for i, v := range []uint64{m.run, m.seq, m.nonce, m.echo} {
		binary.BigEndian.PutUint64(b[4+8*i:], v)
	}
	copy(b[macOffset:], sum(b, key))
	return b
}

// decode returns the message in b if whoever has key wrote it.
func decode(b, key []byte) (message, error) {
	if len(b) < HeaderLength || len(b) > MaxLength || string(b[:4]) != magic || !hmac.Equal(b[macOffset:HeaderLength], sum(b, key)) {
		return message{}, errMessage
	}
	at := func(i int) uint64 { return binary.BigEndian.Uint64(b[4+8*i:]) }
	return message{run: at(0), seq: at(1), nonce: at(2), echo: at(3), length: len(b)}, nil
}

func sum(b, key []byte) []byte {
	var zeros [macLength]byte
	h := hmac.New(sha256.New, key)
	h.Write(b[:macOffset])
	h.Write(zeros[:])
	h.Write(b[HeaderLength:])
	return h.Sum(nil)[:macLength]
}
