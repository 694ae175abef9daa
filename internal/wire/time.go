package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// PathTime answers a [TimeResponse] to anyone who gives a nonce (GET, query
// parameter "nonce", at most [MaxNonce] characters).
const PathTime = PathPrefix + "time"

// MaxNonce is the length of the longest nonce, in characters.
const MaxNonce = 64

// TimeResponse says what time it is, to machines whose clock is so wrong that
// the server's certificate looks as if it had ended.
type TimeResponse struct {
	Now time.Time `json:"now"`
	// Signatures are those of all authorities of the server over
	// [TimeDigest] (ECDSA, ASN.1). An authority signs because a leaf that was
	// lost and has ended must not be able to turn back anybody's clock.
	Signatures [][]byte `json:"signatures"`
}

// TimeDigest is what is signed: the time for who has asked with this nonce.
func TimeDigest(nonce string, now time.Time) [sha256.Size]byte {
	h := sha256.New()
	for _, part := range []string{"kedge time v1", nonce, now.UTC().Format(time.RFC3339Nano)} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write([]byte(part))
	}
	return [sha256.Size]byte(h.Sum(nil))
}
