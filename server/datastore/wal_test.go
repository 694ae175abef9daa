package datastore

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// madeLog is a write-ahead log that is written as SQLite does it, by somebody
// who may die at any frame.
type madeLog struct {
	raw  []byte
	scan walScan
	sums [][2]uint32 // after the header and after each frame
}

const madePage = 512

func newLog() *madeLog {
	l := &madeLog{raw: make([]byte, walHeaderSize), scan: walScan{order: binary.LittleEndian, salts: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}}}
	big := binary.BigEndian
	big.PutUint32(l.raw, walMagic)
	big.PutUint32(l.raw[4:], 3007000)
	big.PutUint32(l.raw[8:], madePage)
	copy(l.raw[16:], l.scan.salts[:])
	l.scan.add(l.raw[:24])
	big.PutUint32(l.raw[24:], l.scan.s0)
	big.PutUint32(l.raw[28:], l.scan.s1)
	l.sums = [][2]uint32{{l.scan.s0, l.scan.s1}}
	return l
}

func (l *madeLog) offset(frame int) int { return walHeaderSize + frame*(walFrameHeader+madePage) }

// write puts a transaction of n frames behind the first so many, over what is
// there, and returns how many frames stand before its end.
func (l *madeLog) write(behind, n int, fill byte) int {
	l.scan.s0, l.scan.s1 = l.sums[behind][0], l.sums[behind][1]
	l.sums = l.sums[:behind+1]
	for k := range n {
		b := make([]byte, walFrameHeader+madePage)
		binary.BigEndian.PutUint32(b, uint32(k+1))
		if k == n-1 {
			binary.BigEndian.PutUint32(b[4:], 9)
		}
		copy(b[8:], l.scan.salts[:])
		for i := walFrameHeader; i < len(b); i++ {
			b[i] = fill
		}
		l.scan.add(b[:8])
		l.scan.add(b[walFrameHeader:])
		binary.BigEndian.PutUint32(b[16:], l.scan.s0)
		binary.BigEndian.PutUint32(b[20:], l.scan.s1)
		l.sums = append(l.sums, [2]uint32{l.scan.s0, l.scan.s1})
		at := l.offset(behind + k)
		if missing := at + len(b) - len(l.raw); missing > 0 {
			l.raw = append(l.raw, make([]byte, missing)...)
		}
		copy(l.raw[at:], b)
	}
	return behind + n
}

// hole is a frame that did not reach the disk.
func (l *madeLog) hole(frame int) {
	clear(l.raw[l.offset(frame):l.offset(frame+1)])
}

// spoil changes a bit of a frame's page.
func (l *madeLog) spoil(frame int) { l.raw[l.offset(frame)+walFrameHeader+100] ^= 4 }

func (l *madeLog) look(t *testing.T) walLook {
	t.Helper()
	path := filepath.Join(t.TempDir(), "wal")
	if err := os.WriteFile(path, l.raw, 0o600); err != nil {
		t.Fatal(err)
	}
	look, err := lookAtWAL(path)
	if err != nil || !look.header {
		t.Fatalf("%+v, %v", look, err)
	}
	return look
}

func TestWhatPowerCutsAndFailedCommitsLeaveInALogIsNoLoss(t *testing.T) {
	for name, c := range map[string]struct {
		make    func(*madeLog, int)
		commits int
	}{
		"nothing":                   {func(*madeLog, int) {}, 2},
		"power cut":                 {func(l *madeLog, end int) { l.write(end, 9, 3); l.hole(end + 1) }, 2},
		"power cut, cut off in all": {func(l *madeLog, end int) { l.write(end, 9, 3); l.raw = l.raw[:l.offset(end+8)+20] }, 2},
		"another transaction over it": {func(l *madeLog, end int) {
			l.write(end, 9, 3)
			l.hole(end)
			l.write(end, 2, 4)
		}, 3},
		"second power cut": {func(l *madeLog, end int) {
			l.write(end, 9, 3)
			l.hole(end + 1)
			end = l.write(end, 3, 4)
			l.write(end, 3, 5)
			l.hole(end)
		}, 3},
		"third power cut": {func(l *madeLog, end int) {
			l.write(end, 12, 3)
			l.hole(end)
			l.write(end, 9, 4)
			l.hole(end)
			l.write(end, 5, 5)
			l.hole(end)
		}, 2},
		"commits that a full disk refused": {func(l *madeLog, end int) {
			l.write(end, 9, 3)
			l.write(end, 6, 4)
			end = l.write(end, 2, 5)
			l.write(end, 1, 6)
			l.spoil(end)
		}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLog()
			c.make(l, l.write(l.write(0, 3, 1), 2, 2))
			if look := l.look(t); look.lost || look.commits != c.commits {
				t.Errorf("%+v", look)
			}
		})
	}
}

func TestTransactionsBehindADamagedOneAreLost(t *testing.T) {
	for name, hurt := range map[string]func(l *madeLog){
		"bit changed":            func(l *madeLog) { l.spoil(4) },
		"frame gone":             func(l *madeLog) { l.hole(4) },
		"two places":             func(l *madeLog) { l.spoil(3); l.spoil(6) },
		"in the last but one":    func(l *madeLog) { l.spoil(6); l.raw = l.raw[:l.offset(9)] },
		"and the next cut short": func(l *madeLog) { l.spoil(6); l.raw = l.raw[:l.offset(8)+200] },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLog()
			l.write(l.write(l.write(l.write(0, 3, 1), 3, 2), 2, 3), 2, 4)
			hurt(l)
			if look := l.look(t); !look.lost || look.later < 1 {
				t.Errorf("%+v", look)
			}
		})
	}
}

func TestStartDropsWhatAPowerCutHasLeftInTheLog(t *testing.T) {
	first := testConfig(t)
	r := start(t, first)
	fill(t, r, "first", 20)
	large := put(t, client(t, r.Endpoints()[0]), "/registry/large", strings.Repeat("large", 100_000))
	i := copyImage(t, first, large)
	r.stop(t)
	// Of the last transaction the beginning did not reach the disk.
	zero(t, i.path+"-wal", lastTransaction(t, i.path+"-wal"), walFrame)
	i = i.powerCut(t)
	if found := isSound(t, i); len(found.Notes) == 0 {
		t.Fatalf("found %+v", found)
	}
	cfg := testConfig(t)
	cfg.Path = i.path
	r = start(t, cfg)
	defer r.stop(t)
	again := copyImage(t, cfg, fill(t, r, "again", 1))
	if log, err := lookAtWAL(again.path + "-wal"); err != nil || log.rest != 0 || log.commits == 0 {
		t.Errorf("the log is %+v, %v", log, err)
	}
	if found := isSound(t, again.powerCut(t)); found.Revision < again.last {
		t.Errorf("found %+v, acknowledged was %d", found, again.last)
	}
}

func TestEndOfTheLogSaysNothingWhereTheLastRevisionIsKnown(t *testing.T) {
	i := crashed(t)
	// Frames that nobody was told of, behind a hole.
	flip(t, i.path+"-wal", walHeaderSize+walFrame*30+200, 2)
	w, err := readWitness(i.path)
	if err != nil {
		t.Fatal(err)
	}
	told, err := keepAcked(ackedFile(i.volatile), w.ID, w.Revision)
	if err != nil {
		t.Fatal(err)
	}
	if err := told.close(); err != nil {
		t.Fatal(err)
	}
	if found, err := Check(t.Context(), i.path, i.volatile, false); err != nil || found.Revision < w.Revision {
		t.Errorf("found %+v, %v", found, err)
	}
}
