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
	"strings"
	"syscall"
	"time"

	"github.com/kedge-io/kedge/tests/lab"
)

// options are the command line of the whole run.
type options struct {
	out, konnectivity string
	carriers, paths   []string
	works             string
	repeat, port      int
	length            time.Duration
}

func main() {
	if code, done := lab.Reexec(); done {
		os.Exit(code)
	}
	run, args := role(os.Args[1:])
	if run == nil {
		run = measure
	}
	if err := run(args); err != nil {
		fmt.Fprintln(os.Stderr, "link:", err)
		os.Exit(1)
	}
}

// role is what this process is, nil for the one that starts the others.
func role(args []string) (run func([]string) error, rest []string) {
	roles := map[string]func([]string) error{"near": near, "far": far, "target": target}
	if len(args) > 0 && roles[args[0]] != nil {
		return roles[args[0]], args[1:]
	}
	return nil, args
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("link", flag.ExitOnError)
	flags.StringVar(&o.out, "out", "build/bench/link-out", "folder for results and logs")
	flags.StringVar(&o.konnectivity, "konnectivity", "build/bench", "folder with konnectivity-server and konnectivity-agent")
	carriers := flags.String("carriers", "tls,kedge,remotedialer,konnectivity,tcp", "what to measure; ratios are to tls")
	paths := flags.String("paths", "loopback,lan,thin", "loopback, lan (two hosts, NAT between them) and thin (the same at 20 Mbit/s)")
	flags.StringVar(&o.works, "works", "all", "parts to measure: "+strings.Join(workNames(), ","))
	flags.IntVar(&o.repeat, "repeat", 3, "repetitions; carriers alternate")
	flags.IntVar(&o.port, "port", 7443, "the port of the server's end; the target has the next one")
	flags.DurationVar(&o.length, "length", 2*time.Second, "time for each part; eight times that at 20 Mbit/s")
	_ = flags.Parse(args)
	o.carriers, o.paths = strings.Split(*carriers, ","), strings.Split(*paths, ",")
	for _, p := range []*string{&o.out, &o.konnectivity} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return o, err
		}
		*p = abs
	}
	return o, os.MkdirAll(o.out, 0o755)
}

// measure runs every carrier on every path, one at a time.
func measure(args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	r := &results{Began: time.Now().UTC()}
	for _, name := range o.paths {
		if err = measurePath(ctx, o, name, r); err != nil {
			err = fmt.Errorf("%s: %w", name, err)
			break
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

func measurePath(ctx context.Context, o options, name string, r *results) (err error) {
	p, err := openPath(ctx, o, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	for rep := range o.repeat {
		for _, carrier := range o.carriers {
			if carrier == carrierTCP && name != pathLoopback {
				continue // nothing connects to a node behind NAT
			}
			fmt.Fprintf(os.Stderr, "%s %s, %s, %d of %d\n", time.Now().Format("15:04:05"), name, carrier, rep+1, o.repeat)
			figures, err := p.measure(ctx, o, carrier)
			if err != nil {
				return fmt.Errorf("%s: %w", carrier, err)
			}
			r.Runs = append(r.Runs, run{Path: name, Carrier: carrier, Figures: figures})
		}
	}
	return nil
}
