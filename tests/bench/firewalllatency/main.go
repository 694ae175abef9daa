package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/kedge-io/kedge/tests/bench/bed"
	"github.com/kedge-io/kedge/tests/lab"
)

// options are the command line.
type options struct {
	kedge, out   string
	only         []string
	steps, nodes int
	kernel       time.Duration
	profile      bool
}

// part is one thing to measure. Parts of one laboratory have it in common; in the
// other one there is nothing but a server and a crowd.
type part struct {
	name  string
	edges bool
	run   func(*bench)
}

var parts = []part{
	{"real", true, (*bench).real}, {"set", true, (*bench).set},
	{"simulated", false, (*bench).simulated}, {"watch", false, (*bench).watch},
}

func main() {
	if code, done := lab.Reexec(); done {
		os.Exit(code)
	}
	run, args := measure, os.Args[1:]
	if len(args) > 0 && args[0] == "crowd" {
		run, args = crowd, args[1:]
	}
	if err := run(args); err != nil {
		fmt.Fprintln(os.Stderr, "firewalllatency:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	flags := flag.NewFlagSet("firewalllatency", flag.ExitOnError)
	flags.StringVar(&o.kedge, "kedge", "bin/kedge", "kedge to measure")
	flags.StringVar(&o.out, "out", "build/bench/firewall-latency-out", "folder for results and logs")
	only := flags.String("only", strings.Join(names, ","), "parts to measure")
	flags.IntVar(&o.steps, "steps", 40, "changes in each part")
	flags.IntVar(&o.nodes, "nodes", 500, "simulated nodes")
	flags.DurationVar(&o.kernel, "kernel", 20*time.Millisecond, "what a simulated kernel takes to apply")
	flags.BoolVar(&o.profile, "profile", false, "keep processor profiles of the server")
	_ = flags.Parse(args)
	o.only = strings.Split(*only, ",")
	for _, name := range o.only {
		if !slices.Contains(names, name) {
			return o, fmt.Errorf("part %q: want some of %s", name, strings.Join(names, ", "))
		}
	}
	for _, p := range []*string{&o.kedge, &o.out} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return o, err
		}
		*p = abs
	}
	return o, os.MkdirAll(o.out, 0o755)
}

// measure brings the laboratories up, one after the other, and takes all parts.
func measure(args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	r := &results{Began: time.Now().UTC(), Steps: o.steps, Nodes: o.nodes, Series: map[string][]time.Duration{}, Load: map[string]string{}}
	err = errors.Join(inLab(ctx, o, r, true), inLab(ctx, o, r, false))
	err = errors.Join(err, r.write(filepath.Join(o.out, "results.json")))
	r.print(os.Stdout)
	return err
}

// inLab takes the parts of one laboratory.
func inLab(ctx context.Context, o options, r *results, edges bool) error {
	var wanted []part
	for _, p := range parts {
		if p.edges == edges && slices.Contains(o.only, p.name) {
			wanted = append(wanted, p)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	return bed.Attempt(ctx, "firewalllatency", func(t *bed.Attempted) {
		b := up(t, o, r, edges)
		for _, p := range wanted {
			fmt.Fprintf(os.Stderr, "%s %s\n", time.Now().Format("15:04:05"), p.name)
			p.run(b)
			r.loaded(p.name)
		}
	})
}
