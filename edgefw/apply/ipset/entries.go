package ipset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/kedge-io/kedge/edgefw/apply/nfnl"
)

// Add puts one prefix, or one address, into a set, in one moment for the rules
// that use it. What is in it already is fine. In a set of [Addresses] only whole
// addresses are.
func (h *Handle) Add(name string, p netip.Prefix) error { return h.change(cmdAdd, name, p) }

// Del takes one prefix out of a set. What is not in it is fine.
func (h *Handle) Del(name string, p netip.Prefix) error { return h.change(cmdDel, name, p) }

func (h *Handle) change(command uint8, name string, p netip.Prefix) error {
	if err := storable(p); err != nil {
		return &EntryError{Set: name, Entry: p, Err: err}
	}
	m := named(command, 0, name)
	putEntry(m, p, 0)
	if err := h.conn.Do(m); err != nil {
		return &EntryError{Set: name, Entry: p, Err: explain(err)}
	}
	return nil
}

// entryLen is the most that one entry takes in a message.
const entryLen = 48

// Fill adds many prefixes to a set; rules that use it see them come. After an
// error, which is an [*EntryError] when one of them was refused, some are in it.
func (h *Handle) Fill(name string, prefixes []netip.Prefix) error {
	for at := 0; at < len(prefixes); {
		m, n, err := batch(name, prefixes, at)
		if err != nil {
			return err
		}
		if err := h.conn.Do(m); err != nil {
			return lineError(name, prefixes, err)
		}
		at = n
	}
	return nil
}

// batch is a message with as many prefixes as fit, and the place of the next one.
func batch(name string, prefixes []netip.Prefix, at int) (*nfnl.Message, int, error) {
	m := named(cmdAdd, 0, name)
	m.PutNative32(attrLine, 0) // the kernel writes the line of an error there
	all := m.Open(attrADT)
	for ; at < len(prefixes) && m.Len() < nfnl.MaxAttribute-entryLen; at++ {
		if err := storable(prefixes[at]); err != nil {
			return nil, at, &EntryError{Set: name, Entry: prefixes[at], Place: at, Err: err}
		}
		putEntry(m, prefixes[at], uint32(at+1))
	}
	m.Close(all)
	return m, at, nil
}

func putEntry(m *nfnl.Message, p netip.Prefix, line uint32) {
	data := m.Open(attrData)
	ip := m.Open(attrIP)
	if a := p.Addr(); a.Is4() {
		b := a.As4()
		m.PutMarked(attrIPv4, b[:])
	} else {
		b := a.As16()
		m.PutMarked(attrIPv6, b[:])
	}
	m.Close(ip)
	if !p.IsSingleIP() {
		m.PutByte(attrCIDR, uint8(p.Bits()))
	}
	if line > 0 {
		m.PutNative32(attrLine, line)
	}
	m.Close(data)
}

var errNoPrefix = errors.New("not a valid prefix without a zone")

func storable(p netip.Prefix) error {
	switch {
	case !p.IsValid() || p.Addr().Is4In6():
		return errNoPrefix
	case p.Bits() == 0:
		return ErrEverywhere
	}
	return nil
}

// lineError finds the entry that the kernel refused: it sends the request back
// with the line in it.
func lineError(name string, prefixes []netip.Prefix, err error) error {
	var refused *nfnl.Error
	if !errors.As(err, &refused) {
		return fmt.Errorf("filling set %s: %w", name, err)
	}
	if line := nfnl.Attribute(refused.Request, attrLine); len(line) == 4 {
		if n := int(binary.NativeEndian.Uint32(line)); n >= 1 && n <= len(prefixes) {
			return &EntryError{Set: name, Entry: prefixes[n-1], Place: n - 1, Err: explain(err)}
		}
	}
	return wrap("filling", name, err)
}

// Replace makes a set hold exactly the prefixes, in one moment for the rules that
// use it; it is made when there is none. What is refused leaves it as it was.
// The new content is built in a set with "~" at the end of the name, which an
// interrupted Replace may leave behind; the next one sweeps it.
func (h *Handle) Replace(s Spec, prefixes []netip.Prefix) error {
	aside := s
	aside.Name += "~"
	aside.Expect = max(s.Expect, len(prefixes))
	if err := h.build(aside, prefixes); err != nil {
		return errors.Join(err, missingIsFine(h.Destroy(aside.Name)))
	}
	s.Expect = 0 // it is thrown away at once
	if err := h.Create(s); err != nil && !errors.Is(err, ErrExists) {
		return errors.Join(err, h.Destroy(aside.Name))
	}
	if err := h.Swap(s.Name, aside.Name); err != nil {
		return errors.Join(err, h.Destroy(aside.Name))
	}
	return h.Destroy(aside.Name)
}

func (h *Handle) build(s Spec, prefixes []netip.Prefix) error {
	if err := missingIsFine(h.Destroy(s.Name)); err != nil {
		return err
	}
	if err := h.Create(s); err != nil {
		return err
	}
	return h.Fill(s.Name, prefixes)
}

func missingIsFine(err error) error {
	if errors.Is(err, ErrMissing) {
		return nil
	}
	return err
}
