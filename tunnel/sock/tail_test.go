package sock

import (
	"bytes"
	"io"
	"testing"
)

func TestKeepTailDropsWhatWouldResetAConnectionWithUnreadBytes(t *testing.T) {
	c, program := pair(t)
	kept := KeepTail(c)
	if _, err := kept.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(program, make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	// More than the reader's kernel takes, so that the program's still has some when it closes.
	_ = c.SetReadBuffer(64 << 10)
	_ = program.SetWriteBuffer(2 << 20)
	want := bytes.Repeat([]byte("answer "), 100_000)
	if _, err := program.Write(want); err != nil {
		t.Fatal(err)
	}
	_ = program.Close()
	for range 3 {
		if n, err := kept.Write([]byte("heartbeat")); n != 9 || err != nil {
			t.Fatalf("write: %d, %v", n, err)
		}
	}
	if got, err := io.ReadAll(kept); !bytes.Equal(got, want) || err != nil {
		t.Fatalf("%d bytes of %d, %v", len(got), len(want), err)
	}
}

func TestKeepTailWritesToAProgramThatOnlySendsNoMore(t *testing.T) {
	c, program := pair(t)
	kept := KeepTail(c)
	if _, err := program.Write([]byte("unread")); err != nil {
		t.Fatal(err)
	}
	_ = program.CloseWrite()
	if _, err := kept.Write([]byte("still")); err != nil {
		t.Fatal(err)
	}
	_ = kept.(interface{ CloseWrite() error }).CloseWrite()
	if got, err := io.ReadAll(program); string(got) != "still" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
}
