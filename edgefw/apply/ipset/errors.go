package ipset

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/edgefw/apply/nfnl"
)

var (
	// ErrMissing tells that there is no such set.
	ErrMissing = errors.New("no such set")
	// ErrExists tells that a set of this name is there already.
	ErrExists = errors.New("there is such a set already")
	// ErrInUse tells that a rule names the set, or named it until a moment ago.
	ErrInUse = errors.New("a rule uses the set")
	// ErrEverywhere refuses a prefix of length 0, which the kernel cannot store.
	ErrEverywhere = errors.New("a set cannot hold a prefix of length 0: leave the set out of the rule instead")
	// ErrUnsupported tells that this kernel has no sets of addresses.
	ErrUnsupported = errors.New("this kernel has no sets of addresses (CONFIG_IP_SET, CONFIG_IP_SET_HASH_NET, CONFIG_IP_SET_HASH_IP)")
)

// EntryError is about one entry of several.
type EntryError struct {
	// Set is the name of the set.
	Set   string
	Entry netip.Prefix
	// Place is that of the entry in what was given, from 0.
	Place int
	Err   error
}

// Error names the set, the entry and the reason.
func (e *EntryError) Error() string {
	return fmt.Sprintf("set %s, entry %d (%s): %v", e.Set, e.Place, e.Entry, e.Err)
}

// Unwrap is the reason.
func (e *EntryError) Unwrap() error { return e.Err }

// reasons are the kernel's own numbers as text.
var reasons = map[int]string{
	errProtocol:     "the set is of the other address family or takes no such entry",
	errFindType:     "the kernel does not know this type of set",
	errMaxSets:      "the kernel has no room for another set",
	errTypeMismatch: "sets of different types or families cannot be swapped",
	errCIDR:         "length of the prefix is not valid",
	errFamily:       "the set is of the other address family",
	errIPv4:         "the set takes IPv4 addresses",
	errIPv6:         "the set takes IPv6 addresses",
	errHashFull:     "the set is full",
}

// explain gives the kernel's errors their names.
func explain(err error) error {
	var refused *nfnl.Error
	if !errors.As(err, &refused) {
		return err
	}
	switch int(refused.Errno) {
	case int(unix.ENOENT), errSetname2:
		return ErrMissing
	case int(unix.EEXIST):
		return ErrExists
	case errBusy, errReferenced:
		return ErrInUse
	}
	if text, ok := reasons[int(refused.Errno)]; ok {
		return errors.New(text)
	}
	return err
}
