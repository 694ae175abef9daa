package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func main() { os.Exit(run(os.Args)) }

// run is the program: argv[0] and its arguments in, exit code out.
func run(argv []string) int {
	if tool, args := findTool(argv); tool != nil {
		// Embedded programs handle signals as their own binaries do.
		return tool.main(args)
	}
	ctx, interrupted := signalContext(os.Exit)
	root := newRootCommand()
	root.SetArgs(argv[1:])
	started := false
	root.PersistentPreRun = func(*cobra.Command, []string) { started = true }
	err := root.ExecuteContext(ctx)
	if err != nil && !started {
		err = usageError(err) // cobra refused the command line
	}
	if interrupted() && errors.Is(err, context.Canceled) {
		err = exitWith(exitInterrupted, nil)
	}
	return report(os.Stderr, err)
}

// report prints err for a person and returns its exit code.
func report(w io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	code := exitFailure
	var coded *codedError
	if errors.As(err, &coded) {
		code = coded.code
		if coded.err == nil {
			return code
		}
	}
	for _, line := range strings.Split(strings.TrimSpace(err.Error()), "\n") {
		if line = strings.TrimSpace(line); line != "" {
			fmt.Fprintf(w, "kedge: %s\n", line)
		}
	}
	return code
}

// signalContext returns a context that ends with the first SIGINT or SIGTERM
// and whether that has come. The second calls exit at once.
func signalContext(exit func(int)) (ctx context.Context, interrupted func() bool) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		<-signals
		exit(exitInterrupted)
	}()
	return ctx, func() bool { return ctx.Err() != nil }
}
