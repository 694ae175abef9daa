package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// near is the process of the server's end. It does all the work and writes the
// figures to standard output.
func near(args []string) error {
	var c nearConfig
	l := load{figures: figures{}}
	flags := flag.NewFlagSet("near", flag.ExitOnError)
	carrier := flags.String("carrier", "", "")
	works := flags.String("works", "all", "")
	watch := flags.String("watch", "", "further processes whose processor time counts")
	flags.StringVar(&c.dir, "dir", "", "")
	flags.StringVar(&c.listen, "listen", "", "")
	flags.StringVar(&c.target, "target", "", "")
	flags.StringVar(&c.socket, "socket", "", "")
	flags.DurationVar(&l.length, "length", 2*time.Second, "")
	flags.DurationVar(&l.warm, "warm", 500*time.Millisecond, "")
	_ = flags.Parse(args)
	for _, text := range strings.Fields(strings.ReplaceAll(*watch, ",", " ")) {
		pid, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("-watch %q: %w", *watch, err)
		}
		l.watch = append(l.watch, pid)
	}
	if len(l.watch) > 0 {
		l.watch = append(l.watch, os.Getpid())
	}
	open := nearEnds[*carrier]
	if open == nil {
		return fmt.Errorf("no such carrier: %q", *carrier)
	}
	end, err := open(c)
	if err != nil {
		return err
	}
	l.dial = end.dial
	if err := patiently(l.once); err != nil {
		return fmt.Errorf("the carrier does not come up: %w", err)
	}
	for _, w := range allWorks {
		if *works != "all" && !slices.Contains(strings.Split(*works, ","), w.name) {
			continue
		}
		if err := w.do(&l); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(l.figures)
}

// once makes one small request over a connection of its own.
func (l *load) once() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_, err := l.request(ctx)
	return err
}
