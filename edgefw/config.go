package edgefw

import (
	"context"
	"errors"
	"net/netip"

	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/edgefw/model"
)

// Kernel is where rules go; [apply.Kernel] is one.
type Kernel interface {
	// Apply makes the kernel enforce the wish, or puts it right where it does.
	Apply(ctx context.Context, w apply.Wish) (apply.Result, error)
	// Counters are those of the present generation.
	Counters() ([]apply.Counter, error)
	// Cut ends the flows that may not live, and returns how many there were.
	Cut(ctx context.Context, mayLive func(model.Packet) bool) (int, error)
	// Watch puts the latest wish right whenever somebody changes what is ours, and
	// calls changed then, until ctx ends.
	Watch(ctx context.Context, changed func()) error
	// Observe compares the kernel with the latest wish.
	Observe(ctx context.Context) (apply.Observation, error)
	// Drops tells of packets that were refused, until ctx ends.
	Drops(ctx context.Context, tell func(apply.Drop)) error
}

// Config says what the loop is about. It is not changed after [New].
type Config struct {
	Kernel Kernel
	// Prove makes a fresh connection to a server as the node's link does, and has
	// it answer.
	Prove func(ctx context.Context) error
	// Facts are what no rule may take from the node, Addresses those of its links.
	// They are asked at each pass and must not block.
	Facts     func() model.Facts
	Addresses func() []netip.Addr
	// Lookup asks the host's resolvers.
	Lookup Lookup
	// File is where the last proven state is kept.
	File string
	// PodsFile is where the pods and their rules are kept until the next boot, when
	// the pods are gone as well.
	PodsFile string
	// Software is kedge's version.
	Software string
	// Tell, where set, is told of what people should hear about. It must not block.
	Tell func(Notice)
	// Report, where set, is told of trouble that lasts, and nil when it is over.
	Report func(error)
}

// Validate reports all problems, joined.
func (c Config) Validate() error {
	var errs []error
	for what, missing := range map[string]bool{
		"a kernel": c.Kernel == nil, "a proof": c.Prove == nil, "facts": c.Facts == nil, "addresses": c.Addresses == nil,
		"a resolver": c.Lookup == nil, "a file": c.File == "", "a file of pods": c.PodsFile == "",
	} {
		if missing {
			errs = append(errs, errors.New("the edge firewall needs "+what))
		}
	}
	return errors.Join(errs...)
}

// Notice is something that people should hear about.
type Notice struct {
	Kind NoticeKind
	// Message is one sentence.
	Message string
}

// NoticeKind is what a notice is about: the reason of an event.
type NoticeKind string

// The notices.
const (
	// RolledBack: a revision cut the node off, and the former rules are back.
	RolledBack NoticeKind = "FirewallRolledBack"
	// Undecided: the node does not reach its server, with the new rules or with
	// the former ones.
	Undecided NoticeKind = "FirewallUndecided"
	// Minimal: what was on disk could not be believed.
	Minimal NoticeKind = "FirewallMinimal"
	// Restored: somebody removed or changed rules of ours, and they are back.
	Restored NoticeKind = "FirewallRestored"
	// Failed: the kernel did not take a revision.
	Failed NoticeKind = "FirewallFailed"
	// Enforced: what is wished for is in force again after trouble.
	Enforced NoticeKind = "FirewallEnforced"
)
