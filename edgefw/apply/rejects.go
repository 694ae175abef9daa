package apply

import (
	"context"
	"fmt"
	"strings"

	"github.com/kedge-io/kedge/edgefw/apply/render"
	"github.com/kedge-io/kedge/edgefw/model"
)

// rejectJumps are the chains in which the kernel answers.
var rejectJumps = []string{"INPUT", "FORWARD", "OUTPUT"}

// rejectMask leaves out bits that others put on the packet behind our backs:
// kube-proxy 0x4000 and the CNI plugin portmap 0x2000 between our mark and its
// answer. Bit 0 is what tells it from model.LinkMark.
const rejectMask = 0xffff0001

var rejectMatch = fmt.Sprintf("-m mark --mark %#x/%#x", model.RejectMark, uint32(rejectMask))

// rejectEnd is a table in which marked packets end.
type rejectEnd struct {
	table string
	lines []string
	// optional tells that a kernel may not have the table.
	optional bool
}

// rejectEnds: table filter answers, TCP with a reset and the rest with "port
// unreachable". A rule that somebody puts before ours, or a flush, lets packets
// through there (Docker puts its own first whenever it starts), so table
// security, which comes after it, drops them.
var rejectEnds = [2]rejectEnd{
	{table: "filter", lines: []string{
		"-A " + render.RejectChain + " -p tcp " + rejectMatch + " -j REJECT --reject-with tcp-reset",
		"-A " + render.RejectChain + " -j REJECT",
	}},
	{table: "security", lines: []string{"-A " + render.RejectChain + " -j DROP"}, optional: true},
}

// ensureRejects makes the ends, before anything is marked.
func (f *family) ensureRejects(ctx context.Context) error {
	for _, e := range rejectEnds {
		err := f.ensureEnd(ctx, e)
		if err != nil && e.optional {
			f.lacks[e.table] = true
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *family) ensureEnd(ctx context.Context, e rejectEnd) error {
	have := f.present.ends[e.table]
	if f.lacks[e.table] || e.in(have) {
		return nil
	}
	if len(have.chains[render.RejectChain]) != len(e.lines) {
		text := "*" + e.table + "\n:" + render.RejectChain + " - [0:0]\n" + strings.Join(e.lines, "\n") + "\nCOMMIT\n"
		if err := f.program.load(ctx, text); err != nil {
			return err
		}
	}
	for _, builtin := range rejectJumps {
		if err := f.ensureJump(e.table, builtin, rejectMatch, render.RejectChain, have); err != nil {
			return err
		}
	}
	have, err := f.list(ctx, e.table)
	f.present.ends[e.table] = have
	return err
}

// in tells whether a table has all of it.
func (e rejectEnd) in(l listing) bool {
	return len(l.jumps) == len(rejectJumps) && len(l.chains[render.RejectChain]) == len(e.lines)
}

// answers tells whether marked packets end everywhere.
func (f *family) answers() bool {
	for _, e := range rejectEnds {
		if !f.lacks[e.table] && !e.in(f.present.ends[e.table]) {
			return false
		}
	}
	return true
}

// silent tells whether there is nothing of the ends.
func (f *family) silent() bool {
	for _, l := range f.present.ends {
		if len(l.jumps)+len(l.chains) > 0 {
			return false
		}
	}
	return true
}

// dropRejects takes the ends away, after the last mark.
func (f *family) dropRejects() error {
	for _, e := range rejectEnds {
		if err := f.dropJumps(e.table, render.RejectChain, f.present.ends[e.table]); err != nil {
			return err
		}
		delete(f.present.ends, e.table)
	}
	return nil
}

// listEnds reads them.
func (f *family) listEnds(ctx context.Context) (map[string]listing, error) {
	all := map[string]listing{}
	for _, e := range rejectEnds {
		l, err := f.list(ctx, e.table)
		if err != nil && !e.optional {
			return nil, err
		}
		all[e.table] = l
	}
	return all, nil
}
