package edgefw

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/kedge-io/kedge/edgefw/apply"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/plan"
	"github.com/kedge-io/kedge/edgefw/store"
)

// Restoration is what [Restore] has put in force.
type Restoration struct {
	// Ruleset is nil where there was nothing to restore.
	Ruleset  *model.Ruleset
	Revision uint64
	// Damaged tells why the file could not be believed; the minimal safe set is in
	// force then.
	Damaged error
}

// Applier is the part of [Kernel] that a restore needs.
type Applier interface {
	Apply(ctx context.Context, w apply.Wish) (apply.Result, error)
}

// Restore puts in force what file has, without anything that runs: the last proven
// ruleset, or the minimal safe set where the file is damaged. Without the file it
// does nothing. facts makes those of now of those on disk.
func Restore(ctx context.Context, kernel Applier, file, podsFile string, facts func(model.Facts) model.Facts, log *slog.Logger) (Restoration, error) {
	s, err := store.Read(file)
	var out Restoration
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return out, nil
	case err != nil:
		out.Damaged = err
		s = &store.State{Ruleset: plan.Safe()}
	}
	kept := readKept(podsFile, log)
	s.Ruleset = kept.Rules.over(s.Ruleset, s.Revision)
	out.Ruleset, out.Revision = s.Ruleset, s.Revision
	var pods []Pod
	for _, p := range kept.Pods {
		pods = append(pods, p)
	}
	_, err = kernel.Apply(ctx, apply.Wish{
		Ruleset: guard(s.Ruleset, pods), Facts: facts(s.Facts),
		Local: plan.Local{Pods: addresses(pods), Names: s.Names},
	})
	if err != nil {
		return out, fmt.Errorf("restore the firewall of revision %d: %w", s.Revision, err)
	}
	return out, nil
}
