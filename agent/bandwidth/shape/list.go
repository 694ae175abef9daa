package shape

import (
	"errors"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

var errInterrupted = errors.New("the list changed while it was read")

// list calls f with the body of each object of a kind. What was interrupted by a
// change is started again after calling restart.
func (c *conn) list(kind uint16, request []byte, restart func(), f func(body []byte)) error {
	const tries = 10
	var err error
	for range tries {
		restart()
		if err = c.listOnce(kind, request, f); !errors.Is(err, errInterrupted) {
			return err
		}
	}
	return err
}

func (c *conn) listOnce(kind uint16, request []byte, f func(body []byte)) error {
	c.seq++
	m := message{kind: kind, body: request}
	if err := c.transmit(appendMessage(nil, m, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, c.seq)); err != nil {
		return err
	}
	var done bool
	var problem error
	for !done {
		err := c.receive(func(r reply) {
			if r.seq != c.seq {
				return
			}
			if r.flags&unix.NLM_F_DUMP_INTR != 0 {
				problem = errInterrupted
			}
			switch r.kind {
			case unix.NLMSG_DONE, unix.NLMSG_ERROR:
				done = true
				if err := answer(r.body, r.flags); err != nil && len(r.body) >= 4 {
					problem = err
				}
			default:
				f(r.body)
			}
		})
		if err != nil {
			return err
		}
	}
	return problem
}

// dump is list for objects that begin with a struct tcmsg.
func (c *conn) dump(kind uint16, filter nl.TcMsg, restart func(), f func(nl.TcMsg, attrs)) error {
	return c.list(kind, filter.Serialize(), restart, func(b []byte) {
		if len(b) >= nl.SizeofTcMsg {
			f(*nl.DeserializeTcMsg(b), attrs(b[nl.SizeofTcMsg:]))
		}
	})
}
