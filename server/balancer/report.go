package balancer

import (
	"context"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// report writes statuses and makes events of what became different. It returns
// after which time something is left to do; 0 for nothing.
func (b *Balancer) report(ctx context.Context, offers []offer) (again time.Duration) {
	now := time.Now()
	present := map[string]bool{}
	for _, o := range offers {
		name := nameOf(o.service)
		present[name] = true
		b.tell(o)
		if !differs(o.service.ingress, o.addresses) {
			continue
		}
		wait := b.cfg.Pause - now.Sub(b.wrote[name])
		if wait <= 0 {
			wait = b.cfg.Pause // until what was written is seen, or to try again
			b.wrote[name] = now
			b.write(ctx, o)
		}
		if again == 0 || wait < again {
			again = wait
		}
	}
	for name := range b.told {
		if !present[name] {
			delete(b.told, name)
		}
	}
	for name := range b.wrote {
		if !present[name] {
			delete(b.wrote, name)
		}
	}
	return again
}

// write writes one status.
func (b *Balancer) write(ctx context.Context, o offer) {
	ingress := make([]corev1.LoadBalancerIngress, len(o.addresses))
	for i, a := range o.addresses {
		mode := corev1.LoadBalancerIPModeVIP
		ingress[i] = corev1.LoadBalancerIngress{IP: a.String(), IPMode: &mode}
	}
	switch err := b.api.write(ctx, o.service, ingress); {
	case err == nil:
		b.log.Info("a service has other addresses", "service", nameOf(o.service), "count", len(ingress), "nodes", len(o.nodes))
	case ctx.Err() != nil, apierrors.IsNotFound(err), apierrors.IsConflict(err): // the next look sees what is there then
	default:
		b.log.Warn("the addresses of a service were not written yet, trying on", "service", nameOf(o.service), "error", err)
	}
}

// differs compares without order.
func differs(have []corev1.LoadBalancerIngress, want []netip.Addr) bool {
	var addrs []netip.Addr
	for _, i := range have {
		a, err := netip.ParseAddr(i.IP)
		if err != nil {
			return true
		}
		addrs = append(addrs, a)
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return !slices.Equal(addrs, want)
}

// tell makes events of problems that are new.
func (b *Balancer) tell(o offer) {
	name := nameOf(o.service)
	if slices.Equal(b.told[name], o.problems) {
		return
	}
	for _, p := range o.problems {
		if !slices.Contains(b.told[name], p) {
			b.api.event(o.service, p)
			b.log.Warn("a service does not get all that it wants", "service", name, "reason", p.reason, "message", p.message)
		}
	}
	b.told[name] = o.problems
}
