package flow

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
)

// patternSize is no multiple of anything that is cut off in whole, so that
// a piece that is missing or there twice shows.
const patternSize = 1<<20 - 3

// pattern is what is sent over TCP, again and again.
var pattern = sync.OnceValue(func() []byte {
	p := make([]byte, patternSize)
	_, _ = rand.NewChaCha8([32]byte{'t', 'r', 'a', 'f', 'f', 'i', 'c'}).Read(p)
	return p
})

// piece is up to n bytes of the endless pattern at offset.
func piece(offset int64, n int) []byte {
	at := int(offset % patternSize)
	return pattern()[at:min(at+n, patternSize)]
}

// check tells whether b is the endless pattern at offset.
func check(offset int64, b []byte) error {
	for len(b) > 0 {
		want := piece(offset, len(b))
		if !bytes.Equal(b[:len(want)], want) {
			return fmt.Errorf("wrong bytes after %d right ones", offset)
		}
		offset, b = offset+int64(len(want)), b[len(want):]
	}
	return nil
}
