package protocol

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/kedge-io/kedge/edgefw/model"
)

// Delta leads from one content of a set of prefixes to another.
type Delta struct {
	// From is the hash of the content that it starts at.
	From Hash
	// Remove and Add are sorted. What is removed was there, what is added was
	// not.
	Remove, Add []netip.Prefix
}

// errDelta says that a delta does not fit what it is applied to.
var errDelta = errors.New("a delta that does not fit its set")

// Diff returns how to get from one set to the other; from is the hash of old.
// Only sets of prefixes have deltas.
func Diff(from Hash, old, now model.Set) (Delta, bool) {
	if old.Name != "" || now.Name != "" || len(old.Pods)+len(now.Pods) > 0 {
		return Delta{}, false
	}
	d := Delta{From: from}
	a, b := old.Prefixes, now.Prefixes
	for len(a) > 0 || len(b) > 0 {
		switch order := compare(a, b); {
		case order < 0:
			d.Remove, a = append(d.Remove, a[0]), a[1:]
		case order > 0:
			d.Add, b = append(d.Add, b[0]), b[1:]
		default:
			a, b = a[1:], b[1:]
		}
	}
	return d, true
}

// compare orders the first prefixes of two lists; the end comes after all.
func compare(a, b []netip.Prefix) int {
	switch {
	case len(a) == 0:
		return 1
	case len(b) == 0:
		return -1
	}
	return a[0].Compare(b[0])
}

// Size is that of the encoded delta in bytes.
func (d Delta) Size() int {
	n := len(d.From) + 2*8
	for _, list := range [][]netip.Prefix{d.Remove, d.Add} {
		for _, p := range list {
			n += p.Addr().BitLen()/8 + 1
		}
	}
	return n
}

// Encode returns the delta's bytes: the hash, what is removed, what is added.
func (d Delta) Encode() []byte {
	b := make([]byte, 0, d.Size())
	return appendPrefixes(appendPrefixes(append(b, d.From[:]...), d.Remove), d.Add)
}

// DecodeDelta is the reverse of [Delta.Encode].
func DecodeDelta(b []byte) (d Delta, err error) {
	if len(b) < len(d.From) {
		return d, fmt.Errorf("%w: it is cut off", errDelta)
	}
	d.From, b = Hash(b[:len(d.From)]), b[len(d.From):]
	if d.Remove, b, err = takePrefixes(b); err != nil {
		return d, err
	}
	if d.Add, b, err = takePrefixes(b); err != nil {
		return d, err
	}
	if len(b) > 0 {
		return d, fmt.Errorf("%w: %d bytes follow it", errDelta, len(b))
	}
	return d, nil
}

// Apply returns the set that comes of set, which is left as it is. Whether that
// is canonical, [EncodeSet] tells.
func (d Delta) Apply(set model.Set) (model.Set, error) {
	if set.Name != "" || len(set.Pods) > 0 || len(d.Remove) > len(set.Prefixes) {
		return model.Set{}, errDelta
	}
	var out []netip.Prefix
	if n := len(set.Prefixes) - len(d.Remove) + len(d.Add); n > 0 {
		out = make([]netip.Prefix, 0, n)
	}
	old, remove, add := set.Prefixes, d.Remove, d.Add
	for len(old) > 0 || len(add) > 0 {
		switch order := compare(old, add); {
		case order == 0 && (len(remove) == 0 || remove[0] != old[0]):
			return model.Set{}, fmt.Errorf("%w: %v is there already", errDelta, add[0])
		case order > 0:
			out, add = append(out, add[0]), add[1:]
		case len(remove) > 0 && remove[0] == old[0]:
			old, remove = old[1:], remove[1:]
		default:
			out, old = append(out, old[0]), old[1:]
		}
	}
	if len(remove) > 0 {
		return model.Set{}, fmt.Errorf("%w: %v is not there", errDelta, remove[0])
	}
	return model.Set{Prefixes: out}, nil
}
