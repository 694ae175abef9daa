package apply

import (
	"net/netip"

	"github.com/kedge-io/kedge/edgefw/apply/render"
	"github.com/kedge-io/kedge/edgefw/model"
)

// Content is what a set is to hold of a family.
func Content(w Wish, id model.SetID, f render.Family) []netip.Prefix {
	return new(splitter).of(w, id, f)
}
