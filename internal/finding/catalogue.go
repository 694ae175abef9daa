package finding

import "slices"

// Entry is what is always true of a finding.
type Entry struct {
	ID ID
	// About is what was looked at, in a few words.
	About string
	// Why it matters, what kedge does without it, and what helps in most cases.
	Why, Without, Remedy string
}

// Catalogue is every finding that there is, by area in the order of the documents.
func Catalogue() []Entry { return slices.Concat(host(), network(), way(), node()) }

// Lookup finds an entry.
func Lookup(id ID) (Entry, bool) {
	all := Catalogue()
	i := slices.IndexFunc(all, func(e Entry) bool { return e.ID == id })
	if i < 0 {
		return Entry{}, false
	}
	return all[i], true
}
