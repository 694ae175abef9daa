package datastore

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// walHeaderSize is that of the log's own header, in bytes
// (https://www.sqlite.org/fileformat2.html#the_write_ahead_log).
const walHeaderSize = 32

// walMagic with its lowest bit clear; that bit tells the byte order of the
// checksums.
const walMagic = 0x377f0682

// walLook is what one reading of a write-ahead log found. SQLite itself takes
// the log for ended at the first frame that is not as it was written, without
// a word, so this is where a damaged log shows.
type walLook struct {
	missing bool
	bytes   int64
	header  bool // the header is whole
	// blank tells that nothing but zeros is in it, or not even a header: what
	// some file systems make in a power cut of a log that has just begun.
	blank    bool
	pageSize int // bytes
	// commits are the transactions that SQLite will see.
	commits int
	// rest is in bytes what follows their last frame and belongs to the same
	// sequence.
	rest int64
	// later are the most ends of transactions that one chain of that rest has,
	// and lost tells that frames of such a chain follow one of them.
	later int
	lost  bool
}

// empty tells that the log holds nothing.
func (w walLook) empty() bool { return w.missing || w.bytes == 0 || w.blank }

// lookAtWAL reads the log at path from one end to the other.
func lookAtWAL(path string) (look walLook, err error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return walLook{missing: true}, nil
	}
	if err != nil {
		return look, fmt.Errorf("read write-ahead log: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	st, err := f.Stat()
	if err != nil {
		return look, fmt.Errorf("read write-ahead log: %w", err)
	}
	look.bytes = st.Size()
	r := bufio.NewReaderSize(f, 1<<20)
	scan, ok, err := look.begin(r)
	if err != nil || !ok {
		return look, err
	}
	return look, look.frames(r, scan)
}

// walScan is what the checksums of a log are counted with.
type walScan struct {
	order  binary.ByteOrder
	salts  [8]byte
	s0, s1 uint32
}

// begin reads the header; ok is false if there is none that counts.
func (w *walLook) begin(r *bufio.Reader) (s walScan, ok bool, err error) {
	var h [walHeaderSize]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			w.blank = true
			return s, false, nil
		}
		return s, false, fmt.Errorf("read write-ahead log: %w", err)
	}
	if h == [walHeaderSize]byte{} {
		w.blank, err = onlyZeros(r)
		return s, false, err
	}
	big := binary.BigEndian
	magic := big.Uint32(h[0:])
	s.order = binary.LittleEndian
	if magic&1 == 1 {
		s.order = big
	}
	s.add(h[:24])
	w.pageSize = int(big.Uint32(h[8:]))
	copy(s.salts[:], h[16:24])
	w.header = magic&^1 == walMagic && s.s0 == big.Uint32(h[24:]) && s.s1 == big.Uint32(h[28:]) &&
		w.pageSize >= 512 && w.pageSize <= 65536
	return s, w.header, nil
}

// onlyZeros reads the rest of r.
func onlyZeros(r *bufio.Reader) (bool, error) {
	for {
		b, err := r.ReadByte()
		switch {
		case errors.Is(err, io.EOF):
			return true, nil
		case err != nil:
			return false, fmt.Errorf("read write-ahead log: %w", err)
		case b != 0:
			return false, nil
		}
	}
}

// add counts b, a multiple of eight bytes, into the checksum.
func (s *walScan) add(b []byte) {
	for ; len(b) >= 8; b = b[8:] {
		s.s0 += s.order.Uint32(b) + s.s1
		s.s1 += s.order.Uint32(b[4:]) + s.s0
	}
}

// frame counts one frame and tells whether it is as it was written. The next
// one is counted from the sum that this one carries, so that frames behind a
// damaged one are still known.
func (s *walScan) frame(b []byte) bool {
	s.add(b[:8])
	s.add(b[walFrameHeader:])
	s0, s1 := binary.BigEndian.Uint32(b[16:]), binary.BigEndian.Uint32(b[20:])
	ok := s.s0 == s0 && s.s1 == s1
	s.s0, s.s1 = s0, s1
	return ok
}

// walRest is what follows the transactions that count. A transaction is written
// after the one before was acknowledged; so one alone, not whole, is what a power
// cut leaves of what nobody was told of, and one that another follows was
// acknowledged. Only frames whose sums continue each other tell that order: each
// power cut and each failed commit leaves frames, over which later ones are
// written as far as these reach.
type walRest struct {
	bytes int64
	ends  int // of transactions in the present chain
}

// take counts one frame that does not count any more.
func (w *walLook) take(r *walRest, same, whole, commit bool) {
	switch {
	case !whole:
		r.ends = 0
	case r.ends > 0:
		w.lost = true
	}
	if same {
		r.bytes += walFrameHeader + int64(w.pageSize)
	}
	if whole && commit {
		r.ends++
		w.later = max(w.later, r.ends)
	}
}

func (w *walLook) frames(r io.Reader, s walScan) error {
	frame := make([]byte, walFrameHeader+w.pageSize)
	valid := true
	var rest walRest
	for {
		n, err := io.ReadFull(r, frame)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			if n >= 16 && [8]byte(frame[8:16]) == s.salts {
				rest.bytes += int64(n)
				w.lost = w.lost || rest.ends > 0
			}
			w.rest = rest.bytes
			return nil
		}
		if err != nil {
			return fmt.Errorf("read write-ahead log: %w", err)
		}
		same := [8]byte(frame[8:16]) == s.salts
		whole := s.frame(frame) && same
		commit := binary.BigEndian.Uint32(frame[4:]) != 0
		if valid = valid && whole; !valid {
			w.take(&rest, same, whole, commit)
			continue
		}
		if rest.bytes += int64(len(frame)); commit {
			w.commits++
			rest.bytes = 0
		}
	}
}
