package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/kedge-io/kedge/tests/bench/bed"
)

const (
	serverAddr = "127.0.0.1:7543"
	adminAddr  = "127.0.0.1:7544"
	// filesPerAgent is generous: two or three lanes, a listener, a dial.
	filesPerAgent = 12
)

// The kinds of server and agents.
const (
	kindKedge = "kedge"
	kindTLS   = "tls"
)

type options struct {
	out                         string
	agents, processes           int
	settle, idle, down, timeout time.Duration
	profile                     bool
	dir                         string
}

func main() {
	roles := map[string]func([]string) error{"server": server, "agents": agents}
	run := measure
	args := os.Args[1:]
	if len(args) > 0 && roles[args[0]] != nil {
		run, args = roles[args[0]], args[1:]
	}
	if err := run(args); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func measure(args []string) error {
	var o options
	flags := flag.NewFlagSet("scale", flag.ExitOnError)
	flags.StringVar(&o.out, "out", "build/bench/scale-out", "folder for results and logs")
	flags.IntVar(&o.agents, "agents", 1000, "agents")
	flags.IntVar(&o.processes, "processes", 2, "processes that the agents run in")
	flags.DurationVar(&o.settle, "settle", 20*time.Second, "time from the last agent's arrival to the measurement")
	flags.DurationVar(&o.idle, "idle", 30*time.Second, "time over which idle processor time is counted")
	flags.DurationVar(&o.down, "down", 5*time.Second, "how long the server is away; kedge server needs about 5 s to start")
	flags.DurationVar(&o.timeout, "timeout", 2*time.Minute, "how long all agents may need to arrive")
	flags.BoolVar(&o.profile, "profile", false, "keep heap and processor profiles of the server")
	_ = flags.Parse(args)
	abs, err := filepath.Abs(o.out)
	if err != nil {
		return err
	}
	o.out, o.dir = abs, filepath.Join(abs, "certificates")
	if err := errors.Join(os.MkdirAll(o.dir, 0o700), bed.RaiseFileLimit(uint64(o.agents)*filesPerAgent)); err != nil {
		return err
	}
	if err := certificates(o); err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	var all []result
	for _, kind := range []string{kindTLS, kindKedge} {
		r, err := measureKind(ctx, o, kind)
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		all = append(all, r)
	}
	return report(o, all)
}

func certificates(o options) error {
	authority, err := bed.NewAuthority(o.dir, netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		return err
	}
	for n := range o.agents {
		if _, _, err := authority.Node(agentName(n)); err != nil {
			return err
		}
	}
	return nil
}

func agentName(n int) string { return fmt.Sprintf("edge-%d", n) }

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

// fleet is a server and the processes of its agents.
type fleet struct {
	o      options
	kind   string
	self   string
	server *exec.Cmd
	agents []*exec.Cmd
}

func (f *fleet) startServer() error {
	var err error
	f.server, err = bed.Start(filepath.Join(f.o.out, f.kind+"-server.log"), f.self, "server", "-kind", f.kind, "-dir", f.o.dir, "-agents", fmt.Sprint(f.o.agents))
	return err
}

func (f *fleet) startAgents() error {
	share := (f.o.agents + f.o.processes - 1) / f.o.processes
	for first := 0; first < f.o.agents; first += share {
		cmd, err := bed.Start(filepath.Join(f.o.out, f.kind+"-agents.log"), f.self, "agents", "-kind", f.kind, "-dir", f.o.dir,
			"-first", fmt.Sprint(first), "-count", fmt.Sprint(min(share, f.o.agents-first)))
		if err != nil {
			return err
		}
		f.agents = append(f.agents, cmd)
	}
	return nil
}

func (f *fleet) stop() {
	for _, cmd := range append(f.agents, f.server) {
		if cmd != nil && cmd.Process != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
}
