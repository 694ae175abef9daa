package payload

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

// magic ends every release file. Its last byte is the version of the format.
var magic = [16]byte{'k', 'e', 'd', 'g', 'e', '-', 'p', 'a', 'y', 'l', 'o', 'a', 'd', 0, 0, 1}

// trailerSize is the length of a trailer in bytes.
const trailerSize = 80

// Errors of [Open]. Both mean that the file is not a whole release file.
var (
	// ErrNone is returned for a file that does not end with a trailer: a launcher
	// alone, or a download that was cut.
	ErrNone = errors.New("the file ends without its payload")
	// ErrDamaged is returned for a payload that is not what the trailer says.
	ErrDamaged = errors.New("the file is damaged")
)

// Trailer describes the program in a release file.
type Trailer struct {
	// Arch is the GOARCH of the program, at most 8 bytes.
	Arch string
	// Packed is the length of the compressed program in bytes.
	Packed int64
	// Size is the length of the program in bytes.
	Size int64
	// SHA256 is the digest of the program.
	SHA256 [32]byte
}

// ID names the program by its content: the first 16 hexadecimal digits of its
// SHA-256, the name of its slot.
func (t Trailer) ID() string { return hex.EncodeToString(t.SHA256[:8]) }

// encoded is the trailer as it stands in the file, little endian.
type encoded struct {
	Arch         [8]byte
	Packed, Size uint64
	SHA256       [32]byte
	_            [8]byte
	Magic        [16]byte
}

func (t Trailer) encode() ([]byte, error) {
	e := encoded{Packed: uint64(t.Packed), Size: uint64(t.Size), SHA256: t.SHA256, Magic: magic}
	if copy(e.Arch[:], t.Arch) != len(t.Arch) {
		return nil, fmt.Errorf("architecture %q is longer than %d bytes", t.Arch, len(e.Arch))
	}
	var b bytes.Buffer
	err := binary.Write(&b, binary.LittleEndian, e)
	return b.Bytes(), err
}

// decode reads the trailer of a file of fileSize bytes.
func decode(data []byte, fileSize int64) (Trailer, error) {
	var e encoded
	if err := binary.Read(bytes.NewReader(data), binary.LittleEndian, &e); err != nil || e.Magic != magic {
		return Trailer{}, ErrNone
	}
	t := Trailer{Arch: string(bytes.TrimRight(e.Arch[:], "\x00")), Packed: int64(e.Packed), Size: int64(e.Size), SHA256: e.SHA256}
	if t.Packed <= 0 || t.Size <= 0 || t.Packed > fileSize-trailerSize {
		return Trailer{}, fmt.Errorf("%w: its trailer speaks of %d bytes, the file has %d", ErrDamaged, e.Packed, fileSize)
	}
	return t, nil
}
