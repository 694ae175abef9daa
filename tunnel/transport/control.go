package transport

import "sync"

// control sends what streams owe the other end (credit, fin, end) from one
// goroutine per session, so that reading and closing never wait for the link.
type control struct {
	mu   sync.Mutex
	list []*stream
	wake chan struct{}
}

// push takes a stream that has something pending. It never blocks and is
// called with the stream's mu held.
func (c *control) push(st *stream) {
	c.mu.Lock()
	c.list = append(c.list, st)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *control) take() []*stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.list
	c.list = nil
	return list
}

// run sends until done is closed.
func (c *control) run(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-c.wake:
		}
		for _, st := range c.take() {
			st.flush()
		}
	}
}
