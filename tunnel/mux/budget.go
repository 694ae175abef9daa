package mux

import "sync"

// budget is what the other end may have us hold unread, over all streams. It
// hands out less per stream as it fills up, and always something.
//
// The first half of the cap is handed out in whole windows, the next quarter
// in quarter windows, and the last quarter is what every stream can always
// have a floor of. So the sum never exceeds the cap.
type budget struct {
	cap, streams int

	mu       sync.Mutex
	promised int
}

const (
	// maxFloor bounds the floor of one stream, in bytes.
	maxFloor = 16 << 10
	// firstWindow is what a stream begins with when there is plenty, in bytes:
	// more than a TCP connection would begin with, and little enough that
	// streams which never send much leave room for those that do.
	firstWindow = 64 << 10
)

func (b *budget) floor() int { return max(min(maxFloor, b.cap/4/b.streams), 1) }

// room returns how much of want a stream may have in all when it already has
// held. It is called with mu held.
func (b *budget) room(want, held int) int {
	others := b.promised - held
	quarter := max(want/4, b.floor())
	switch {
	case others+want <= b.cap/2:
		return want
	case others+quarter <= b.cap/4*3:
		return quarter
	}
	return min(b.floor(), want)
}

// first takes what a new stream begins with.
func (b *budget) first(want int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.room(want, 0)
	b.promised += n
	return n
}

// refill raises what a stream holds from held towards want, unless that gives
// it less than half of what it may have. It returns by how much.
func (b *budget) refill(want, held int) (more int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.room(want, held)
	if held > n/2 {
		return 0
	}
	b.promised += n - held
	return n - held
}

// release gives back.
func (b *budget) release(n int) {
	if n == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.promised -= n
}

func (b *budget) total() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.promised
}
