package mux

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kedge-io/kedge/tunnel"
)

// inbox collects packets.
type inbox struct {
	mu   sync.Mutex
	list [][]byte
}

func (i *inbox) put(p []byte) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.list = append(i.list, bytes.Clone(p))
}

func (i *inbox) len() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.list)
}

func TestPacketsComeWholeAndInOrder(t *testing.T) {
	var got inbox
	e := newEnds(t, Config{}, Config{Packet: got.put})
	e.attach(tunnel.LaneRelay, 0)
	eventually(t, "the lane", func() bool { return e.near.SendPacket([]byte{0}) })
	sizes := []int{1, 20, 1400, 4096, 4097, 16_000, 16_352, 40_000, maxPacket}
	for _, n := range sizes {
		p := bytes.Repeat([]byte{byte(n)}, n)
		for range 3 {
			if !e.near.SendPacket(p) {
				t.Fatalf("a packet of %d bytes is dropped", n)
			}
		}
		clear(p) // it was copied
	}
	eventually(t, "all packets", func() bool { return got.len() == 1+3*len(sizes) })
	for i, p := range got.list[1:] {
		if n := sizes[i/3]; !bytes.Equal(p, bytes.Repeat([]byte{byte(n)}, n)) {
			t.Fatalf("packet %d has %d bytes of %#x, want %d", i, len(p), p[0], n)
		}
	}
	near, far := e.near.Stats(), e.far.Stats()
	if near.PacketsOut != 28 || far.PacketsIn != 28 || near.PacketsDropped != 0 {
		t.Fatalf("%+v, %+v", near, far)
	}
}

func TestPacketsWithoutARelayLaneAreDroppedAndAskForOne(t *testing.T) {
	wanted := make(chan tunnel.Lane, 10)
	e := interactive(t, Config{WantLane: func(class tunnel.Lane) { wanted <- class }}, Config{})
	for range 100 {
		if e.near.SendPacket([]byte{1}) {
			t.Fatal("sent without a lane")
		}
	}
	if class := <-wanted; class != tunnel.LaneRelay || len(wanted) != 0 {
		t.Fatalf("%s was wanted, and %d more", class, len(wanted))
	}
	if e.near.SendPacket(nil) || e.near.SendPacket(make([]byte, maxPacket+1)) {
		t.Fatal("sent what is no packet")
	}
	if got := e.near.Stats().PacketsDropped; got != 102 {
		t.Fatalf("%d dropped", got)
	}
}

// stalled is a connection whose writes wait until they are let go.
type stalled struct {
	nowhere
	let chan struct{}
	out *bytes.Buffer
}

func newStalled() stalled {
	return stalled{nowhere{closed: make(chan struct{})}, make(chan struct{}), &bytes.Buffer{}}
}

func (s stalled) Write(b []byte) (int, error) {
	select {
	case <-s.let:
		return s.out.Write(b)
	case <-s.closed:
		return 0, net.ErrClosed
	}
}

func TestPacketsAreDroppedNotQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(true, Config{})
		conn := newStalled()
		l, err := s.Attach(tunnel.LaneRelay, 0, conn)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { l.fail(errDone); s.Close(errDone); <-s.Done() }()
		synctest.Wait() // hello and ping wait in a write
		p := make([]byte, 1000)
		sent := 0
		for s.SendPacket(p) {
			sent++
		}
		if size := sent * (headerSize + len(p)); size > maxPackets || size < maxPackets-2000 {
			t.Fatalf("%d bytes are queued, the cap is %d", size, maxPackets)
		}
		pass(maxSojourn + time.Millisecond)
		fresh := make([]byte, 1000)
		if s.SendPacket(fresh) {
			t.Fatal("a full queue takes a packet")
		}
		// The line comes back: hello and ping, and nothing that is too old.
		close(conn.let)
		synctest.Wait()
		if out := conn.out.Len(); out > 2000 {
			t.Fatalf("%d bytes of old packets were written", out)
		}
		if st := s.Stats(); st.PacketsDropped != int64(sent)+2 || st.PacketsOut != 0 {
			t.Fatalf("sent %d: %+v", sent, st)
		}
		if !s.SendPacket(fresh) {
			t.Fatal("an empty queue drops a packet")
		}
		synctest.Wait()
		if st := s.Stats(); st.PacketsOut != 1 {
			t.Fatalf("%+v", st)
		}
	})
}

func TestSmallPacketsShareAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(true, Config{})
		conn := newStalled()
		l, _ := s.Attach(tunnel.LaneRelay, 0, conn)
		defer func() { l.fail(errDone); s.Close(errDone); <-s.Done() }()
		synctest.Wait() // hello and ping wait in a write
		for range 100 {
			s.SendPacket(make([]byte, 100))
		}
		conn.let <- struct{}{}
		synctest.Wait()
		conn.let <- struct{}{}
		synctest.Wait()
		if st := s.Stats(); st.PacketsOut != 100 {
			t.Fatalf("%d of 100 packets went in one write", st.PacketsOut)
		}
		r := bytes.NewReader(conn.out.Bytes())
		for count := 0; ; {
			var h [headerSize]byte
			if _, err := io.ReadFull(r, h[:]); err == io.EOF {
				if count != 100 {
					t.Fatalf("%d packets", count)
				}
				return
			}
			if parseHeader(h[:]).kind == kindPacket {
				count++
			}
			_, _ = r.Seek(int64(binary.BigEndian.Uint32(h[:])&0xffffff), io.SeekCurrent)
		}
	})
}
