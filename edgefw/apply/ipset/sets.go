package ipset

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"time"

	"golang.org/x/sys/unix"
)

// Kind is a type of set.
type Kind string

// The kinds: prefixes of any length but 0, and single addresses, which cost less
// to look up.
const (
	Nets      Kind = "hash:net"
	Addresses Kind = "hash:ip"
)

// MaxName is how long the name of a set can be in bytes. [Handle.Replace] needs
// one of them for itself.
const MaxName = 31

// maxEntries bounds what a set can grow to; 100,000 are the most that anybody can
// ask for, twice that for a moment while prefixes are exchanged in place.
const maxEntries = 1 << 20

// Spec describes a set that is to be made.
type Spec struct {
	Name string
	Kind Kind
	// IPv6 tells the family.
	IPv6 bool
	// Expect is about how many entries it will have; 0 when nobody knows. The
	// kernel makes room as needed, but that takes time.
	Expect int
}

// Create makes an empty set. [ErrExists] tells that the name is taken.
func (h *Handle) Create(s Spec) error {
	if s.Name == "" || len(s.Name) > MaxName {
		return fmt.Errorf("set %q: the name is to have 1 to %d bytes", s.Name, MaxName)
	}
	m := named(cmdCreate, unix.NLM_F_CREATE|unix.NLM_F_EXCL, s.Name)
	m.PutString(attrTypename, string(s.Kind))
	// Revision 0 of both types has all that is used here.
	m.PutByte(attrRevision, 0)
	m.PutByte(attrFamily, family(s.IPv6))
	data := m.Open(attrData)
	m.PutUint32(attrHashSize, hashSize(s.Expect))
	m.PutUint32(attrMaxElem, maxEntries)
	m.Close(data)
	return wrap("creating", s.Name, h.conn.Do(m))
}

// hashSize is the number of buckets. One or two entries for a bucket of at most
// twelve: so the kernel nearly never has to double them while they are filled.
func hashSize(entries int) uint32 {
	const least, most = 64, 1 << 19
	n := uint32(1) << bits.Len(uint(max(entries, 1)/2))
	return min(max(n, least), most)
}

// Destroy takes a set away. [ErrMissing] and [ErrInUse] tell why not.
func (h *Handle) Destroy(name string) error {
	return wrap("destroying", name, h.conn.Do(named(cmdDestroy, unix.NLM_F_EXCL, name)))
}

// retryAfter is how long the kernel may go on using a set whose last rule is
// gone: nftables frees rules after a grace period.
const retryAfter = 5 * time.Millisecond

// DestroyUnused is Destroy for sets whose rules were removed just now: it waits
// until the kernel lets go of them or ctx ends. Sets that do not exist are fine.
func (h *Handle) DestroyUnused(ctx context.Context, names ...string) error {
	var failed []error
	for _, name := range names {
		err := h.Destroy(name)
		for errors.Is(err, ErrInUse) && pause(ctx, retryAfter) {
			err = h.Destroy(name)
		}
		if err != nil && !errors.Is(err, ErrMissing) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// Swap exchanges what two sets of the same kind and family hold, in one moment
// for the rules that use them.
func (h *Handle) Swap(a, b string) error {
	m := named(cmdSwap, 0, a)
	m.PutString(attrSetname2, b)
	return wrap("swapping "+a+" with", b, h.conn.Do(m))
}

func family(v6 bool) uint8 {
	if v6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

func wrap(doing, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s set %s: %w", doing, name, explain(err))
}
