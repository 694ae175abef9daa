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

var parts = []struct {
	name string
	run  func(*bench)
}{
	{"real", (*bench).real}, {"set", (*bench).set}, {"simulated", (*bench).simulated}, {"watch", (*bench).watch},
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

// measure brings the laboratory up and takes all parts in it.
func measure(args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	r := &results{Began: time.Now().UTC(), Steps: o.steps, Nodes: o.nodes}
	err = bed.Attempt(ctx, "firewalllatency", func(t *bed.Attempted) {
		b := up(t, o, r)
		for _, p := range parts {
			if slices.Contains(o.only, p.name) {
				fmt.Fprintf(os.Stderr, "%s %s\n", time.Now().Format("15:04:05"), p.name)
				p.run(b)
			}
		}
	})
	err = errors.Join(err, r.write(filepath.Join(o.out, "results.json")))
	r.print(os.Stdout)
	return err
}
