package network

import (
	"encoding/json"
	"net/netip"
	"os"
	"sync"
	"time"
)

// Range tells the pod range of this node to other parts of the agent, from
// the last known state on disk. Its methods may be called from any goroutine.
type Range struct {
	file string

	mu   sync.Mutex
	seen time.Time // the file's
	size int64
	cidr netip.Prefix
}

// NewRange returns the range that is kept in Config.StateDir.
func NewRange(stateDir string) *Range {
	return &Range{file: (&Network{cfg: Config{StateDir: stateDir}}).stateFile()}
}

// PodCIDR returns the node's pod range, which is invalid while it is unknown.
// It costs a look at the file's date, and reads the file when that changed.
func (r *Range) PodCIDR() netip.Prefix {
	info, err := os.Stat(r.file)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil || (info.ModTime().Equal(r.seen) && info.Size() == r.size) {
		return r.cidr
	}
	var k struct {
		PodCIDR netip.Prefix `json:"podCIDR"`
	}
	text, err := os.ReadFile(r.file)
	if err == nil && json.Unmarshal(text, &k) == nil {
		r.cidr, r.seen, r.size = k.PodCIDR, info.ModTime(), info.Size()
	}
	return r.cidr
}
