package main

import (
	"context"
	"fmt"
	"log/slog"
	"os/exec"
	"slices"
	"time"

	"github.com/kedge-io/kedge/edgefw/apply"
)

// repairs prints how long it takes from somebody's flush until the rules are
// there again.
func repairs(ctx context.Context, o options) error {
	fmt.Printf("\n### Somebody flushes\n\n| | median, ms | longest, ms |\n|---|---|---|\n")
	for _, v := range []apply.Variant{apply.Legacy, apply.NFT} {
		flushes := [][]string{{"iptables-" + string(v), "-t", "mangle", "-F"}}
		if v == apply.NFT {
			flushes = append(flushes, []string{"nft", "flush", "ruleset"})
		}
		for _, flush := range flushes {
			all, err := repair(ctx, v, flush, 4*o.repeat, o.entries[0])
			if err != nil {
				return err
			}
			slices.Sort(all)
			fmt.Printf("| %v, %d prefixes | %s | %s |\n", flush, o.entries[0], ms(median(all)), ms(all[len(all)-1]))
		}
	}
	return nil
}

func repair(ctx context.Context, v apply.Variant, flush []string, times, entries int) ([]time.Duration, error) {
	k, err := apply.New(apply.Config{Log: slog.New(slog.DiscardHandler), Variant: v})
	if err != nil {
		return nil, err
	}
	defer k.Close() //nolint:errcheck // the rules are removed before
	if _, err := k.Apply(ctx, wish(spread(entries))); err != nil {
		return nil, err
	}
	watching, stop := context.WithCancel(ctx)
	mended, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		ended <- k.Watch(watching, func() {
			select {
			case mended <- struct{}{}:
			default:
			}
		})
	}()
	var all []time.Duration
	for range times {
		if out, err := exec.CommandContext(ctx, flush[0], flush[1:]...).CombinedOutput(); err != nil {
			stop()
			return nil, fmt.Errorf("%v: %w: %s", flush, err, out)
		}
		flushed := time.Now()
		select {
		case <-mended:
			all = append(all, time.Since(flushed))
		case <-time.After(time.Minute):
			stop()
			return nil, fmt.Errorf("nobody mended what %v did", flush)
		}
	}
	stop()
	if err := <-ended; err != nil {
		return nil, err
	}
	return all, apply.RemoveAll(ctx)
}
