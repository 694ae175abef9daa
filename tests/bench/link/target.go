package main

import (
	"encoding/binary"
	"flag"
	"io"
	"net"
)

// The first byte of a connection says what the target does with it.
const (
	doEcho   = 'e' // return what comes
	doSink   = 's' // take what comes and write receipts
	doSource = 'o' // write without end
	doUnread = 'u' // write without end and never read
)

const (
	chunk = 64 << 10
	// receipt is after how many bytes the sink says how many came so far.
	receipt = 128 << 10
)

// target is the process that the node's end dials.
func target(args []string) error {
	flags := flag.NewFlagSet("target", flag.ExitOnError)
	addr := flags.String("listen", "127.0.0.1:0", "")
	_ = flags.Parse(args)
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			serveTarget(conn)
		}()
	}
}

func serveTarget(conn net.Conn) {
	var do [1]byte
	if _, err := io.ReadFull(conn, do[:]); err != nil {
		return
	}
	buf := make([]byte, chunk)
	switch do[0] {
	case doEcho:
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			if _, err := conn.Write(buf[:n]); err != nil {
				return
			}
		}
	case doSink:
		sink(conn, buf)
	case doSource, doUnread:
		for {
			if _, err := conn.Write(buf); err != nil {
				return
			}
		}
	}
}

func sink(conn net.Conn, buf []byte) {
	var total, told uint64
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		if total += uint64(n); total-told >= receipt {
			told = total
			if _, err := conn.Write(binary.BigEndian.AppendUint64(nil, total)); err != nil {
				return
			}
		}
	}
}
