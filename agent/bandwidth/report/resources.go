package report

import (
	"strconv"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// resources are what the node should publish, "" for nothing; nil as long as the
// pods that count are not known.
//
// The scheduler subtracts what pods requested. What was promised beyond that, by
// an annotation that changed while the pod ran, is subtracted here. Where the
// uplink became too small for what was requested, or its rate is not known any
// more, what was requested stays published: there is no room for more, and
// nobody loses what runs.
func resources(in Input) map[string]string {
	if in.Requests == nil {
		return nil
	}
	out := map[string]string{}
	for _, d := range model.Directions {
		reserved, requested := in.reserved(d)
		offer := requested
		if whole := in.capacity(d); whole > reserved {
			offer = whole - (reserved - requested)
		}
		text := ""
		if offer > 0 {
			text = strconv.FormatUint(uint64(offer/bitrate.Kbit), 10)
		}
		out[string(resourceOf[d])] = text
	}
	return out
}
