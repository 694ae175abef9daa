// Command lab brings up the laboratory for a person: a server with a public
// address and two sites behind NAT. It prints how to enter the hosts, and
// removes everything when it is interrupted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/kedge-io/kedge/tests/lab"
)

func main() {
	if code, done := lab.Reexec(); done {
		os.Exit(code)
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	sites := flag.Int("sites", 2, "number of sites behind NAT, each with one host")
	out := flag.String("out", filepath.Join(os.TempDir(), "kedge-lab-logs"), "directory for the logs of the hosts")
	kedge := flag.String("kedge", "bin/kedge", "kedge to install on the hosts, if it is there")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	l, err := lab.Up(ctx, lab.ServerAndEdges(*sites), *out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	for _, h := range l.Hosts() {
		if err := install(h, *kedge); err != nil {
			return err
		}
	}
	describe(l)
	<-ctx.Done()
	fmt.Println("\nremoving everything")
	return nil
}

// install links kedge into the host's disk; a laboratory without it is of use too.
func install(h *lab.Host, kedge string) error {
	path, err := filepath.Abs(kedge)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return h.WriteFile("/usr/local/bin/kedge", data, 0o755)
}

func describe(l *lab.Lab) {
	fmt.Printf("\nThe laboratory is up. Logs: %s\n\n", l.Out())
	for _, h := range l.Hosts() {
		fmt.Printf("  %-8s %-15s nsenter -t %d -m -n -u -p env PS1='%s# ' HOME=/tmp sh\n", h.Name(), h.IP(), h.InitPID(), h.Name())
	}
	server := l.Host("server")
	fmt.Printf(`
On the server:   kedge server --cgroup-root %s
                 kedge token create
On an edge host: kedge agent --server https://%s:6443 --token K1... --cgroup-root %s

Names of public hosts resolve as NAME.%s. Interrupt (Ctrl-C) removes everything but the logs.
`, server.CgroupRoot(), server.IP(), l.Hosts()[1%len(l.Hosts())].CgroupRoot(), lab.Zone)
}
