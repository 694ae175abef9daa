package apply

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kedge-io/kedge/edgefw/apply/ipset"
	"github.com/kedge-io/kedge/edgefw/apply/render"
)

// Remove takes all that is ours out of the kernel, whoever made it and with
// whichever variant of iptables.
func (k *Kernel) Remove(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wish, k.read = nil, false
	k.turn(false)
	return RemoveAll(ctx)
}

// RemoveAll is Remove for those who have no Kernel. Without any program of
// iptables there can be nothing.
func RemoveAll(ctx context.Context) error {
	var failed []error
	for _, v := range []Variant{"", Legacy, NFT} {
		failed = append(failed, clearVariant(ctx, v))
	}
	return errors.Join(append(failed, removeSets(ctx))...)
}

func clearVariant(ctx context.Context, v Variant) error {
	var failed []error
	for f, name := range map[render.Family]string{render.V4: "iptables", render.V6: "ip6tables"} {
		if p, err := look(f, name, v); err == nil {
			failed = append(failed, p.clear(ctx, "mangle"), p.clear(ctx, "filter"), p.clear(ctx, "security"))
		}
	}
	return errors.Join(failed...)
}

// clear removes jumps and chains of a table in one transaction. A table that
// cannot be read has other owners.
func (p program) clear(ctx context.Context, table string) error {
	text, err := p.dump(ctx, table, false)
	if err != nil {
		return nil
	}
	ours := parse(text)
	if len(ours.jumps)+len(ours.chains) == 0 {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "*%s\n", table)
	for _, line := range ours.jumps {
		b.WriteString("-D" + strings.TrimPrefix(line, "-A") + "\n")
	}
	names := slices.Sorted(maps.Keys(ours.chains))
	for _, option := range []string{"-F", "-X"} {
		for _, name := range names {
			b.WriteString(option + " " + name + "\n")
		}
	}
	b.WriteString("COMMIT\n")
	if err := p.load(ctx, b.String()); err != nil {
		return fmt.Errorf("removing chains of kedge from table %s: %w", table, err)
	}
	return nil
}

func removeSets(ctx context.Context) error {
	sets, err := ipset.Open()
	if err != nil {
		return err
	}
	defer sets.Close() //nolint:errcheck // nothing was written to it
	if sets.Supported() != nil {
		return nil
	}
	list, err := sets.List(render.SetPrefix)
	if err != nil {
		return err
	}
	var names []string
	for _, s := range list {
		names = append(names, s.Name)
	}
	return destroy(ctx, sets, names...)
}

// sweepOther removes what was made with the variant that is not used now, after
// somebody has chosen another one.
func (k *Kernel) sweepOther(ctx context.Context) error {
	other := NFT
	if k.families[0].program.variant == NFT {
		other = Legacy
	}
	return clearVariant(ctx, other)
}
