package apply

import (
	"context"
	"fmt"
	"strings"

	"github.com/kedge-io/kedge/edgefw/apply/render"
)

// ensureHooks makes the chains that the hooks jump to, still empty where they are
// new, and the jumps.
func (f *family) ensureHooks(ctx context.Context, t *render.Table) error {
	for _, h := range render.Hooks {
		if !t.Uses(h) {
			continue
		}
		if err := f.ensureChain("mangle", h.Chain(), f.present.lines); err != nil {
			return err
		}
		if err := f.ensureJump("mangle", h.Builtin, "", h.Chain(), f.present.lines); err != nil {
			return err
		}
	}
	return nil
}

// ensureChain and ensureJump go by what was read, since asking is as dear as
// doing.
func (f *family) ensureChain(table, chain string, have listing) error {
	if _, there := have.chains[chain]; there {
		return nil
	}
	lib, err := f.library()
	if err != nil {
		return err
	}
	if err := lib.NewChain(table, chain); err != nil {
		return fmt.Errorf("making chain %s of table %s: %w", chain, table, err)
	}
	return nil
}

func (f *family) ensureJump(table, builtin, match, chain string, have listing) error {
	line, times := append(strings.Fields(match), "-j", chain), 0
	for _, have := range have.jumps {
		if have == jump(builtin, match, chain) {
			times++
		}
	}
	if times == 1 {
		return nil
	}
	lib, err := f.library()
	if err != nil {
		return err
	}
	if times == 0 {
		err = lib.Insert(table, builtin, 1, line...)
	}
	for ; times > 1 && err == nil; times-- { // somebody restored what he had saved
		err = lib.Delete(table, builtin, line...)
	}
	if err != nil {
		return fmt.Errorf("jumping from %s to %s in table %s: %w", builtin, chain, table, err)
	}
	return nil
}

// dropHooks takes away jumps to chains that a table no longer uses, which are
// empty, and the chains.
func (f *family) dropHooks(t *render.Table) error {
	for _, h := range render.Hooks {
		if t.Uses(h) {
			continue
		}
		if err := f.dropJumps("mangle", h.Chain(), f.present.lines); err != nil {
			return err
		}
	}
	return nil
}

func (f *family) dropJumps(table, chain string, have listing) error {
	lib, err := f.library()
	if err != nil {
		return err
	}
	for _, line := range have.jumps {
		if !strings.HasSuffix(line, "-j "+chain) {
			continue
		}
		words := strings.Fields(line) // -A BUILTIN MATCH... -j CHAIN
		if err := lib.Delete(table, words[1], words[2:]...); err != nil {
			return fmt.Errorf("deleting the jump to %s of table %s: %w", chain, table, err)
		}
	}
	if _, there := have.chains[chain]; !there {
		return nil
	}
	if err := lib.ClearAndDeleteChain(table, chain); err != nil {
		return fmt.Errorf("deleting chain %s of table %s: %w", chain, table, err)
	}
	return nil
}

// refresh reads a table again.
func (f *family) refresh(ctx context.Context, table string, l *listing) error {
	var err error
	*l, err = f.list(ctx, table)
	return err
}
