package mux

import "sync"

// chunkSizes are the sizes of pooled memory, in bytes. Each is at most about
// twice the one below, so what is held is at most about twice what was sent.
// The largest holds every frame; it is a whole number of the allocator's pages.
var chunkSizes = [...]int{512, 1 << 10, 2 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 72 << 10}

var chunkPools [len(chunkSizes)]sync.Pool

// chunk is a piece of pooled memory with unread bytes between off and end.
type chunk struct {
	buf      []byte
	off, end int
	size     int // index into chunkSizes
	next     *chunk
}

// newChunk returns an empty chunk with room for n bytes, n at most the largest
// size.
func newChunk(n int) *chunk {
	size := 0
	for chunkSizes[size] < n {
		size++
	}
	if c, ok := chunkPools[size].Get().(*chunk); ok {
		return c
	}
	return &chunk{buf: make([]byte, chunkSizes[size]), size: size}
}

// free gives the chunk back. Nobody may use it afterwards.
func (c *chunk) free() {
	c.off, c.end, c.next = 0, 0, nil
	chunkPools[c.size].Put(c)
}

func (c *chunk) unread() []byte { return c.buf[c.off:c.end] }

// queue is a list of chunks with unread bytes.
type queue struct {
	first, last *chunk
	size        int // unread bytes
}

// maxTail bounds the chunk that small frames are collected in.
const maxTail = 16 << 10

// write copies p to the end: small frames share a chunk.
func (q *queue) write(p []byte) {
	if q.last == nil || len(q.last.buf)-q.last.end < len(p) {
		// The more waits, the larger the chunks.
		q.link(newChunk(max(len(p), min(q.size, maxTail))))
	}
	q.last.end += copy(q.last.buf[q.last.end:], p)
	q.size += len(p)
}

// push appends a chunk, which is the queue's from then on.
func (q *queue) push(c *chunk) {
	q.link(c)
	q.size += c.end - c.off
}

func (q *queue) link(c *chunk) {
	if q.last == nil {
		q.first = c
	} else {
		q.last.next = c
	}
	q.last = c
}

// pop takes the first chunk out, which is the caller's from then on; nil if
// there is none.
func (q *queue) pop() *chunk {
	c := q.first
	if c == nil {
		return nil
	}
	if q.first = c.next; q.first == nil {
		q.last = nil
	}
	c.next = nil
	q.size -= c.end - c.off
	return c
}

// read moves bytes to b and returns how many.
func (q *queue) read(b []byte) int {
	n := 0
	for n < len(b) && q.first != nil {
		m := copy(b[n:], q.first.unread())
		q.first.off += m
		q.size -= m
		n += m
		if q.first.off == q.first.end {
			q.pop().free()
		}
	}
	return n
}

// move takes all of another queue.
func (q *queue) move(from *queue) {
	for c := from.pop(); c != nil; c = from.pop() {
		q.push(c)
	}
}

// clear frees everything.
func (q *queue) clear() {
	for c := q.pop(); c != nil; c = q.pop() {
		c.free()
	}
}
