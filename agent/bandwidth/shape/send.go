package shape

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// batchLimit is how many messages are sent at once. Their answers, of which
// there is one and one for each error, must fit the socket's receive buffer.
const batchLimit = 64

// send makes the kernel work on the messages in order, errors or not, and
// returns an error for each that had one.
func (c *conn) send(messages []message) map[int]error {
	failed := map[int]error{}
	if c.dead != nil {
		messages = c.untilDead(messages, failed)
	}
	for first := 0; first < len(messages); first += batchLimit {
		batch := messages[first:min(first+batchLimit, len(messages))]
		for i, err := range c.sendBatch(batch) {
			failed[first+i] = err
		}
	}
	return failed
}

var errDead = errors.New("dead")

func (c *conn) untilDead(messages []message, failed map[int]error) []message {
	for i, m := range messages {
		if c.dead(m) {
			for j := i; j < len(messages); j++ {
				failed[j] = errDead
			}
			return messages[:i]
		}
	}
	return messages
}

func (c *conn) sendBatch(batch []message) map[int]error {
	failed := map[int]error{}
	first, last := c.seq+1, len(batch)-1
	var out []byte
	for i, m := range batch {
		flags := m.flags | unix.NLM_F_REQUEST
		if i == last {
			flags |= unix.NLM_F_ACK
		}
		c.seq++
		out = appendMessage(out, m, flags, c.seq)
	}
	if err := c.transmit(out); err != nil {
		for i, m := range batch {
			failed[i] = fmt.Errorf("%s: telling the kernel: %w", m.what, err)
		}
		return failed
	}
	for done := false; !done; {
		err := c.receive(func(r reply) {
			i := int(int32(r.seq - first))
			if r.kind != unix.NLMSG_ERROR || i < 0 || i > last {
				return
			}
			if err := answer(r.body, r.flags); err != nil {
				failed[i] = fmt.Errorf("%s: %w", batch[i].what, err)
			}
			done = i == last
		})
		if err != nil {
			failed[last] = fmt.Errorf("%s: %w", batch[last].what, err)
			return failed
		}
	}
	return failed
}
