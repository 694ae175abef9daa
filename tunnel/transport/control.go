package transport

import "sync"

// control sends what streams owe the other end (credit, fin, end), so that
// reading and closing never wait for the link. Its goroutine runs only while
// something is owed: most sessions are idle for most of the time.
type control struct {
	mu      sync.Mutex
	list    []*stream
	running bool
	stopped bool
	wg      sync.WaitGroup
}

// push takes a stream that has something pending. It never blocks and is
// called with the stream's mu held.
func (c *control) push(st *stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return
	}
	c.list = append(c.list, st)
	if !c.running {
		c.running = true
		c.wg.Go(c.run)
	}
}

func (c *control) take() []*stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.list
	c.list = nil
	c.running = len(list) > 0
	return list
}

// run sends until nothing is owed.
func (c *control) run() {
	for list := c.take(); len(list) > 0; list = c.take() {
		for _, st := range list {
			st.flush()
		}
	}
}

// stop waits for what runs and lets nothing run again.
func (c *control) stop() {
	c.mu.Lock()
	c.stopped, c.list = true, nil
	c.mu.Unlock()
	c.wg.Wait()
}
