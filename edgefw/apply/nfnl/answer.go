package nfnl

import (
	"encoding/binary"
	"syscall"

	"golang.org/x/sys/unix"
)

// answer collects what comes back to one request.
type answer struct {
	seq  uint32
	each func(Header, []byte) error
	done bool
	// err is the first of: a refusal, what each returned, an interruption. All of
	// an answer is read in any case, so that the next request finds an empty
	// socket.
	err error
}

func (a *answer) take(datagram []byte) {
	for h, body := range Messages(datagram) {
		if h.Seq != a.seq {
			continue // of a request whose answer nobody waited for
		}
		if h.Flags&unix.NLM_F_DUMP_INTR != 0 {
			a.fail(ErrInterrupted)
		}
		switch h.Kind {
		case unix.NLMSG_DONE, unix.NLMSG_ERROR:
			a.done = true
			a.fail(refusal(h.Kind, body))
		case unix.NLMSG_NOOP:
		default:
			if a.each != nil && a.err == nil {
				a.err = a.each(h, body)
			}
		}
	}
}

func (a *answer) fail(err error) {
	if a.err == nil {
		a.err = err
	}
}

// refusal reads the error of NLMSG_ERROR, and of NLMSG_DONE, where a dump may
// have one.
func refusal(kind uint16, body []byte) error {
	if len(body) < 4 {
		return nil
	}
	errno := -int32(binary.NativeEndian.Uint32(body))
	if errno <= 0 {
		return nil
	}
	e := &Error{Errno: syscall.Errno(errno)}
	if rest := body[4:]; kind == unix.NLMSG_ERROR && len(rest) > headerLen {
		e.Request = append([]byte(nil), rest[headerLen:]...)
	}
	return e
}
