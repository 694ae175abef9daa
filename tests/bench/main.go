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
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/kedge-io/kedge/tests/lab"
)

// options are the command line.
type options struct {
	kedge, upstream, out string
	profile              bool
	serverArgs           []string
	only                 []string
	repeat               int
	settle, watch        time.Duration
	load                 time.Duration
	pods                 int
}

func main() {
	if code, done := lab.Reexec(); done {
		os.Exit(code)
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse() (options, error) {
	var o options
	var only, args string
	flag.StringVar(&o.kedge, "kedge", "bin/kedge", "kedge to measure")
	flag.StringVar(&o.upstream, "upstream", "build/bench/upstream", "the baseline's programs, made from tests/bench/upstream")
	flag.StringVar(&o.out, "out", "build/bench/out", "folder for results and logs")
	flag.StringVar(&only, "only", "size,start,idle,load", "parts to measure")
	flag.IntVar(&o.repeat, "repeat", 3, "repetitions of each start and of each load")
	flag.DurationVar(&o.settle, "settle", 3*time.Minute, "idle time before anything is measured")
	flag.DurationVar(&o.watch, "watch", 5*time.Minute, "time over which idle writes are counted")
	flag.DurationVar(&o.load, "load", 10*time.Second, "time for each number of clients")
	flag.IntVar(&o.pods, "pods", 60, "pods that are created at once")
	flag.StringVar(&args, "server-args", "", "more arguments of kedge server, separated by spaces")
	flag.BoolVar(&o.profile, "profile", false, "keep processor profiles of kedge's starts and heap profiles of the idle cluster")
	flag.Parse()
	o.serverArgs = strings.Fields(args)
	o.only = strings.Split(only, ",")
	var err error
	for _, p := range []*string{&o.kedge, &o.upstream, &o.out} {
		if *p, err = filepath.Abs(*p); err != nil {
			return o, err
		}
	}
	return o, os.MkdirAll(o.out, 0o755)
}

func run() error {
	o, err := parse()
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	r := &results{Began: time.Now().UTC()}
	for _, part := range []struct {
		name string
		do   func(context.Context, options, *results) error
	}{{"size", measureSize}, {"start", measureStarts}, {"idle", measureCluster}} {
		if part.name == "idle" && slices.Contains(o.only, "load") || slices.Contains(o.only, part.name) {
			if err = part.do(ctx, o, r); err != nil {
				err = fmt.Errorf("%s: %w", part.name, err)
				break
			}
		}
	}
	r.Took = time.Since(r.Began).Round(time.Second).String()
	text, encodeErr := json.MarshalIndent(r, "", "  ")
	if encodeErr == nil {
		encodeErr = os.WriteFile(filepath.Join(o.out, "results.json"), append(text, '\n'), 0o644)
	}
	r.print(os.Stdout)
	return errors.Join(err, encodeErr)
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}
