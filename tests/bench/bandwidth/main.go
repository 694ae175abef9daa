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

	benchbed "github.com/kedge-io/kedge/tests/bench/bed"
	"github.com/kedge-io/kedge/tests/lab"
)

// options are the command line.
type options struct {
	kedge, plugin, out, pictures string
	only                         []string
	repeat, changes              int
}

// part is one thing to measure.
type part struct {
	name string
	run  func(*bench)
}

// parts are in the order in which they run.
var parts = []part{
	{"accuracy", (*bench).accuracy},
	{"containers", (*bench).containers},
	{"guarantees", (*bench).guarantees},
	{"control", (*bench).control},
	{"delay", (*bench).delay},
	{"changes", (*bench).changes},
	{"scale", (*bench).scale},
}

func main() {
	if code, done := lab.Reexec(); done {
		os.Exit(code)
	}
	run, args := role(os.Args[1:])
	if err := run(args); err != nil {
		fmt.Fprintln(os.Stderr, "bandwidth:", err)
		os.Exit(1)
	}
}

// role is what this process is: the one that measures, or one that it starts on a
// host of the laboratory.
func role(args []string) (run func([]string) error, rest []string) {
	roles := map[string]func([]string) error{"watch": watch, "install": install, "pour": pour}
	if len(args) > 0 && roles[args[0]] != nil {
		return roles[args[0]], args[1:]
	}
	return measure, args
}

func parse(args []string) (options, error) {
	var o options
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	flags := flag.NewFlagSet("bandwidth", flag.ExitOnError)
	flags.StringVar(&o.kedge, "kedge", "bin/kedge", "kedge to measure")
	flags.StringVar(&o.plugin, "plugin", "build/bench/cni-bandwidth", "the bandwidth plugin")
	flags.StringVar(&o.out, "out", "build/bench/bandwidth-out", "folder for results and logs")
	flags.StringVar(&o.pictures, "pictures", "", "folder for the pictures; empty is the folder of the results")
	only := flags.String("only", strings.Join(names, ","), "parts to measure")
	flags.IntVar(&o.repeat, "repeat", 3, "repetitions")
	flags.IntVar(&o.changes, "changes", 1000, "live changes")
	_ = flags.Parse(args)
	o.only = strings.Split(*only, ",")
	for _, name := range o.only {
		if !slices.Contains(names, name) {
			return o, fmt.Errorf("part %q: want some of %s", name, strings.Join(names, ", "))
		}
	}
	if o.pictures == "" {
		o.pictures = o.out
	}
	for _, p := range []*string{&o.kedge, &o.plugin, &o.out, &o.pictures} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return o, err
		}
		*p = abs
	}
	return o, errors.Join(os.MkdirAll(o.out, 0o755), os.MkdirAll(o.pictures, 0o755))
}

// measure brings the laboratory up and takes all parts in it.
func measure(args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	r := &results{Began: time.Now().UTC()}
	err = benchbed.Attempt(ctx, "bandwidth", func(t *attempted) {
		b := up(t, o, r)
		for _, p := range parts {
			if slices.Contains(o.only, p.name) {
				began := time.Now()
				fmt.Fprintf(os.Stderr, "%s %s\n", began.Format("15:04:05"), p.name)
				p.run(b)
				r.took(p.name, time.Since(began))
			}
		}
	})
	r.Took = time.Since(r.Began).Round(time.Second).String()
	err = errors.Join(err, r.write(filepath.Join(o.out, "results.json")), r.draw(o.pictures))
	r.print(os.Stdout)
	return err
}
