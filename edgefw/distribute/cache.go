package distribute

import "sync"

// cache makes each value once, however many ask for it at a time, and forgets
// what nobody asked for between two turns.
type cache[K comparable, V any] struct {
	mu          sync.Mutex
	before, now map[K]func() (V, error)
	made        uint64
}

// get returns the value of key, which make computes.
func (c *cache[K, V]) get(key K, compute func() (V, error)) (V, error) {
	c.mu.Lock()
	f := c.now[key]
	if f == nil {
		if f = c.before[key]; f == nil {
			f = sync.OnceValues(compute)
			c.made++
		}
		if c.now == nil {
			c.now = map[K]func() (V, error){}
		}
		c.now[key] = f
	}
	c.mu.Unlock()
	return f()
}

func (c *cache[K, V]) turn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.before, c.now = c.now, nil
}

// count is how many values were made.
func (c *cache[K, V]) count() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.made
}
