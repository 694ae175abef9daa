package main

import (
	"encoding/binary"
	"flag"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// The first byte of a connection says what the target does with it.
const (
	doEcho   = 'e' // return what comes
	doSink   = 's' // take what comes
	doCount  = 'c' // for each byte say how much all doSink took so far, and the time
	doSource = 'o' // write until doEnd comes
	doUnread = 'u' // write without end and never read
	doEnd    = 'x' // ends doSource
)

// chunk is how much is read and written at once, in bytes.
const chunk = 64 << 10

// target is the process that the node's end dials.
func target(args []string) error {
	flags := flag.NewFlagSet("target", flag.ExitOnError)
	addr := flags.String("listen", "127.0.0.1:0", "")
	_ = flags.Parse(args)
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	t := &targetState{began: time.Now()}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			t.serve(conn)
		}()
	}
}

type targetState struct {
	began time.Time
	sunk  atomic.Uint64
}

func (t *targetState) serve(conn net.Conn) {
	var do [1]byte
	if _, err := io.ReadFull(conn, do[:]); err != nil {
		return
	}
	switch do[0] {
	case doEcho:
		answer(conn, func(said []byte) []byte { return said })
	case doSink:
		answer(conn, func(said []byte) []byte { t.sunk.Add(uint64(len(said))); return nil })
	case doCount:
		answer(conn, func([]byte) []byte {
			text := binary.BigEndian.AppendUint64(nil, t.sunk.Load())
			return binary.BigEndian.AppendUint64(text, uint64(time.Since(t.began)))
		})
	case doSource:
		var over atomic.Bool
		go func() {
			_, _ = conn.Read(make([]byte, 1))
			over.Store(true)
		}()
		write(conn, over.Load)
	case doUnread:
		write(conn, func() bool { return false })
	}
}

// answer writes what reply makes of each read.
func answer(conn net.Conn, reply func([]byte) []byte) {
	buf := make([]byte, chunk)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		if text := reply(buf[:n]); len(text) > 0 {
			if _, err := conn.Write(text); err != nil {
				return
			}
		}
	}
}

func write(conn net.Conn, over func() bool) {
	buf := make([]byte, chunk)
	for !over() {
		if _, err := conn.Write(buf); err != nil {
			return
		}
	}
}
