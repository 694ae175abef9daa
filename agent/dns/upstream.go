package dns

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/forward"
	miekg "github.com/miekg/dns"
)

// drain is longer than the forward plugin works at one query (5 s).
const drain = 10 * time.Second

// upstream forwards to resolvers that may change while it serves, as those of a
// roaming host do. Without resolvers it answers SERVFAIL.
type upstream struct {
	resolvers []netip.Addr // only for set
	current   atomic.Pointer[forward.Forward]
}

var _ plugin.Handler = (*upstream)(nil)

// Name implements plugin.Handler.
func (u *upstream) Name() string { return "kedge-upstream" }

// ServeDNS implements plugin.Handler.
func (u *upstream) ServeDNS(ctx context.Context, w miekg.ResponseWriter, r *miekg.Msg) (int, error) {
	if f := u.current.Load(); f != nil {
		return f.ServeDNS(ctx, w, r)
	}
	return miekg.RcodeServerFailure, errNoResolvers
}

// set changes the resolvers and tells whether they differ from the former.
func (u *upstream) set(resolvers []netip.Addr) (bool, error) {
	if slices.Equal(resolvers, u.resolvers) {
		return false, nil
	}
	var next *forward.Forward
	if len(resolvers) > 0 {
		handler, err := configured("forward", forwardStanza(resolvers), nil)
		if err != nil {
			return false, err
		}
		next = handler.(*forward.Forward)
		if err := next.OnStartup(); err != nil {
			return false, err
		}
	}
	u.resolvers = slices.Clone(resolvers)
	if former := u.current.Swap(next); former != nil {
		time.AfterFunc(drain, func() { _ = former.OnShutdown() })
	}
	return true, nil
}

// close ends the health checks of the resolvers.
func (u *upstream) close() {
	if former := u.current.Swap(nil); former != nil {
		_ = former.OnShutdown()
	}
}

// forwardStanza asks the resolvers in their order, as libc does: the second
// one of a host is often a public one that does not know the names of the site.
func forwardStanza(resolvers []netip.Addr) string {
	var b strings.Builder
	b.WriteString("forward .")
	for _, r := range resolvers {
		b.WriteString(" " + net.JoinHostPort(r.String(), "53"))
	}
	b.WriteString(" {\n policy sequential\n max_concurrent 1000\n}\n")
	return b.String()
}
