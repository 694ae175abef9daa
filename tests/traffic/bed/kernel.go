package bed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kedge-io/kedge/agent/bandwidth/snapshot"
	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

// WaitShaped waits until the node's daemon wants something of the kernel and the kernel is as it
// wants it.
func (b *Bed) WaitShaped(t testing.TB, n *cluster.Node) {
	t.Helper()
	testx.Eventually(t, cluster.Patience, "the kernel of "+n.Name()+" is as planned", func(ctx context.Context) error {
		different, err := n.BandwidthDifferences(ctx)
		if err == nil && different != "" {
			err = errors.New(different)
		}
		return err
	})
}

// WaitCeiling waits until a pod of the node has that ceiling in bits per second, both ways.
func (b *Bed) WaitCeiling(t testing.TB, n *cluster.Node, pod string, ceil uint64) {
	t.Helper()
	testx.Eventually(t, cluster.Patience, fmt.Sprintf("pod %s has the ceiling %d", pod, ceil), func(ctx context.Context) error {
		s, err := n.Bandwidth(ctx)
		if err != nil {
			return err
		}
		p := FindPod(s, pod)
		if p == nil || len(p.Classes) == 0 {
			return errors.New("it has no classes")
		}
		for _, c := range p.Classes {
			if uint64(c.Ceil) != ceil {
				return fmt.Errorf("%s %s has %s", c.Device, c.Handle, c.Ceil)
			}
		}
		return nil
	})
	b.WaitShaped(t, n)
}

// FindPod is the pod of that name in the namespace default, or nil.
func FindPod(s snapshot.Node, name string) *snapshot.Pod {
	i := slices.IndexFunc(s.Pods, func(p snapshot.Pod) bool { return p.Namespace == "default" && p.Name == name })
	if i < 0 {
		return nil
	}
	return &s.Pods[i]
}

// objects lists what shaping has in the kernel of a host, without handles that differ from one
// time to the next.
const objects = `
for d in $(ls /sys/class/net); do
	case $d in kedge-in*|kedge-out*) echo link $d ;; esac
	tc qdisc show dev $d | grep -E 'htb|clsact|ingress|bfifo|fq_codel|tbf' | sed "s/^/$d /; s/ refcnt .*//"
	tc class show dev $d | sed "s/^/$d /; s/ leaf .*//"
	for hook in ingress egress; do tc filter show dev $d $hook 2>/dev/null | grep -E '^filter' | sed "s/^/$d $hook /"; done
done`

// Objects lists the devices, queueing disciplines, classes and filters of a host, sorted.
func Objects(ctx context.Context, h *lab.Host) ([]string, error) {
	out, errOut, err := h.RunInput(ctx, []byte(objects), "sh")
	if err != nil {
		return nil, fmt.Errorf("objects of %s: %w: %s", h.Name(), err, errOut)
	}
	return slices.Sorted(strings.Lines(out)), nil
}

// WaitObjects waits until a host has exactly these.
func WaitObjects(t testing.TB, h *lab.Host, want []string) {
	t.Helper()
	testx.Eventually(t, time.Minute, h.Name()+" has in its kernel what it had", func(ctx context.Context) error {
		have, err := Objects(ctx, h)
		if err != nil {
			return err
		}
		more := slices.DeleteFunc(slices.Clone(have), func(l string) bool { return slices.Contains(want, l) })
		less := slices.DeleteFunc(slices.Clone(want), func(l string) bool { return slices.Contains(have, l) })
		if len(more)+len(less) > 0 {
			return fmt.Errorf("too much: %q, missing: %q", more, less)
		}
		return nil
	})
}
