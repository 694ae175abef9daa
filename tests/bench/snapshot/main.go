// Command snapshot measures what saving the cluster costs who uses it: how long a
// snapshot takes and how large it is, what requests to the API take while one is
// made and while none is, alternating in the same run, and how long a restore
// takes, each at several numbers of objects.
//
// Start reading at measure.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/kedge-io/kedge/tests/bench/bed"
	"github.com/kedge-io/kedge/tests/lab"
)

// options are the command line.
type options struct {
	kedge, out string
	objects    []int
	rounds     int
	quiet      time.Duration
}

func main() {
	if code, done := lab.Reexec(); done {
		os.Exit(code)
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "snapshot:", err)
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("snapshot", flag.ExitOnError)
	flags.StringVar(&o.kedge, "kedge", "bin/kedge", "kedge to measure")
	flags.StringVar(&o.out, "out", "build/bench/snapshot-out", "folder for results and logs")
	objects := flags.String("objects", "10000,100000", "numbers of objects, each larger than the one before")
	flags.IntVar(&o.rounds, "rounds", 3, "snapshots at each number of objects")
	flags.DurationVar(&o.quiet, "quiet", 10*time.Second, "time without a snapshot before each")
	_ = flags.Parse(args)
	for _, text := range strings.Split(*objects, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			return o, fmt.Errorf("-objects %q: want numbers", *objects)
		}
		o.objects = append(o.objects, n)
	}
	var err error
	if o.kedge, err = filepath.Abs(o.kedge); err != nil {
		return o, err
	}
	if o.out, err = filepath.Abs(o.out); err != nil {
		return o, err
	}
	return o, os.MkdirAll(o.out, 0o755)
}

func run(args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	var all []result
	err = bed.Attempt(ctx, "snapshot", func(t *bed.Attempted) {
		b := up(t, o)
		for _, n := range o.objects {
			fmt.Fprintf(os.Stderr, "%s %d objects\n", time.Now().Format("15:04:05"), n)
			all = append(all, b.measure(n))
		}
	})
	for _, r := range all {
		r.print(os.Stdout)
	}
	raw, jerr := json.MarshalIndent(all, "", "  ")
	return errors.Join(err, jerr, os.WriteFile(filepath.Join(o.out, "results.json"), raw, 0o644))
}
