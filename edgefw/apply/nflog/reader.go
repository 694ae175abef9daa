package nflog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/edgefw/apply/nfnl"
)

// Of linux/netfilter/nfnetlink_log.h.
const (
	msgPacket = 0
	msgConfig = 1

	cfgCmd     = 1
	cfgMode    = 2
	cfgTimeout = 4
	cmdBind    = 1
	copyPacket = 2

	attrMark    = 2
	attrIn      = 4
	attrOut     = 5
	attrPayload = 9
	attrPrefix  = 10
)

const (
	// copyBytes of each packet: an IPv6 header, some extensions and ports.
	copyBytes = 128
	// gather, in hundredths of a second, is how long the kernel collects packets
	// before it sends them on.
	gather = 10
)

// Reader reads one group.
type Reader struct {
	socket  *os.File
	devices int // a socket to ask for names of devices in the same namespace
	lost    atomic.Uint64
}

// Open begins to read a group in the network namespace of the calling thread. One
// process can at a time.
func Open(group uint16) (*Reader, error) {
	conn, err := nfnl.Dial()
	if err != nil {
		return nil, err
	}
	if err := bind(conn, group); err != nil {
		_ = conn.Close()
		if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EPERM) && unix.Geteuid() == 0 {
			return nil, fmt.Errorf("NFLOG group %d: another process reads it: %w", group, err)
		}
		return nil, fmt.Errorf("NFLOG group %d: %w", group, err)
	}
	r := &Reader{}
	if r.devices, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		_ = conn.Close()
		return nil, os.NewSyscallError("socket", err)
	}
	if r.socket, err = conn.Listen(); err != nil {
		return nil, errors.Join(err, conn.Close(), unix.Close(r.devices))
	}
	return r, nil
}

func bind(conn *nfnl.Conn, group uint16) error {
	m := nfnl.NewMessage(nfnl.Log, msgConfig, 0, unix.AF_UNSPEC, group)
	m.PutByte(cfgCmd, cmdBind)
	if err := conn.Do(m); err != nil {
		return err
	}
	m = nfnl.NewMessage(nfnl.Log, msgConfig, 0, unix.AF_UNSPEC, group)
	mode := binary.BigEndian.AppendUint32(nil, copyBytes)
	m.Put(cfgMode, append(mode, copyPacket, 0))
	m.PutUint32(cfgTimeout, gather)
	return conn.Do(m)
}

// Run calls each with every packet until ctx ends; then the reader is closed.
func (r *Reader) Run(ctx context.Context, each func(Packet)) error {
	defer func() { _ = unix.Close(r.devices) }()
	return nfnl.Follow(ctx, r.socket, func(h nfnl.Header, body []byte) {
		if h.Subsystem != nfnl.Log || h.Command != msgPacket {
			return
		}
		if p, ok := parse(body, r.device); ok {
			each(p)
		}
	}, func() { r.lost.Add(1) })
}

// Lost is how often the kernel had to throw packets away, since nobody read in
// time.
func (r *Reader) Lost() uint64 { return r.lost.Load() }

// parse reads one message; device tells the name of an index.
func parse(body []byte, device func(index uint32) string) (Packet, bool) {
	var p Packet
	ok := false
	for kind, value := range nfnl.Attributes(body) {
		switch kind {
		case attrPrefix:
			p.Prefix = nfnl.Text(value)
		case attrIn:
			p.In = device(nfnl.Uint32(value))
		case attrOut:
			p.Out = device(nfnl.Uint32(value))
		case attrMark:
			p.Mark = nfnl.Uint32(value)
		case attrPayload:
			ok = p.read(value)
		}
	}
	return p, ok
}

// device is the name of a link, or "" when there is none of that index any more.
func (r *Reader) device(index uint32) string {
	request, err := unix.NewIfreq("")
	if err != nil {
		return ""
	}
	request.SetUint32(index)
	if err := unix.IoctlIfreq(r.devices, unix.SIOCGIFNAME, request); err != nil {
		return ""
	}
	return request.Name()
}
