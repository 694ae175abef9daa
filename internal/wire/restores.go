package wire

// PathRestores answers a [Restores] to nodes (GET, with the node's client
// certificate). It is the announcement of a restore to those who must know what
// of their own the cluster has forgotten.
const PathRestores = PathPrefix + "restores"

// Restores tells which stretches of the cluster's history restores have undone,
// the oldest first. It is empty for a cluster that was never restored.
type Restores struct {
	Undone []Stretch `json:"undone"`
}

// Stretch is what one restore has undone: all that was written at revisions
// above After and below Before, where the cluster goes on. Revisions are the
// resourceVersions of objects, events and leases excepted.
type Stretch struct {
	After  int64 `json:"after"`
	Before int64 `json:"before"`
}

// Undid tells whether one restore has undone all of an object that was seen from
// revision first to revision last and not again since. What was seen at a
// revision of the snapshot, or after the restore, is missing for another reason.
func (r Restores) Undid(first, last int64) bool {
	for _, s := range r.Undone {
		if s.After < first && first <= last && last < s.Before {
			return true
		}
	}
	return false
}
