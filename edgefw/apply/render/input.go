package render

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"

	"github.com/kedge-io/kedge/edgefw/model"
)

// SetPrefix is that of the kernel's names of all our sets.
const SetPrefix = "kfw"

// Family is 4 or 6.
type Family int

// The families.
const (
	V4 Family = 4
	V6 Family = 6
)

// Of tells whether the address is of the family.
func (f Family) Of(a netip.Addr) bool { return a.Is4() == (f == V4) }

// bits is the length of an address.
func (f Family) bits() int {
	if f == V4 {
		return 32
	}
	return 128
}

// Slot is a or b: a set has another one beside it while it is replaced.
type Slot byte

// The slots.
const (
	SlotA Slot = 'a'
	SlotB Slot = 'b'
)

// Other is the one that this one is not.
func (s Slot) Other() Slot {
	if s == SlotB {
		return SlotA
	}
	return SlotB
}

// SetName is the kernel's name of a set, 17 characters.
func SetName(id model.SetID, f Family, s Slot) string {
	return fmt.Sprintf("%s%s%d%c", SetPrefix, short(string(id), 12), f, s)
}

func short(text string, digits int) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])[:digits]
}

// Input is what one family's table is made of.
type Input struct {
	Family  Family
	Ruleset *model.Ruleset
	Facts   model.Facts
	// Pods are the addresses of the node's pods by UID.
	Pods map[string][]netip.Addr
	// Slot is where the content of a set is.
	Slot func(model.SetID) Slot
}

// New makes the table.
func New(in Input) *Table {
	w := &writer{Input: in, table: &Table{Logged: map[string]Entry{}}, sets: map[model.SetID]bool{}}
	w.ingress()
	w.pods()
	w.egress()
	return w.table
}

// writer adds to a table.
type writer struct {
	Input
	table *Table
	sets  map[model.SetID]bool
}

func (c *chain) add(match, target string) {
	c.rules = append(c.rules, rule{match: match, target: target})
}

func (c *chain) jump(match, to string) {
	c.rules = append(c.rules, rule{match: match, target: "-j ", to: to})
}

func (c *chain) leave(match, to string) {
	c.rules = append(c.rules, rule{match: match, target: "-g ", to: to})
}

// finish adds chains that were written aside.
func (w *writer) finish(chains ...chain) { w.table.chains = append(w.table.chains, chains...) }

// set is the kernel's name of a set, which is then needed.
func (w *writer) set(id model.SetID) string {
	if !w.sets[id] {
		w.sets[id] = true
		w.table.Sets = append(w.table.Sets, id)
	}
	return SetName(id, w.Family, w.Slot(id))
}

// known tells whether the ruleset has a set at all.
func (w *writer) known(id model.SetID) bool {
	_, ok := w.Ruleset.Sets[id]
	return ok
}
