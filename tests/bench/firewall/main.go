package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// inside is set in the process that has a network namespace of its own.
const inside = "KEDGE_BENCH_FIREWALL"

type options struct {
	entries []int
	repeat  int
	cap     time.Duration
	packets int
}

func main() {
	var o options
	entries := flag.String("entries", "10000,100000", "how many prefixes")
	flag.IntVar(&o.repeat, "repeat", 5, "how often each is measured; the median counts")
	flag.DurationVar(&o.cap, "cap", 40*time.Second, "longest time for rules one by one; what was not done by then is projected from the last thousand")
	flag.IntVar(&o.packets, "packets", 300_000, "packets for each figure of the cost of packets")
	send := flag.String("send", "", "send packets to this address (of use to the program itself)")
	flows := flag.Bool("flows", false, "with -send: each packet from another port")
	flag.Parse()
	for _, text := range strings.Split(*entries, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 1<<17 {
			fail(fmt.Errorf("-entries %s: each is to be 1 to %d", *entries, 1<<17))
		}
		o.entries = append(o.entries, n)
	}
	switch {
	case *send != "":
		fail(pour(*send, o.packets, *flows))
	case os.Getenv(inside) == "":
		fail(enter())
	default:
		fail(measure(context.Background(), o))
	}
}

// enter runs the program again in a network namespace of its own.
func enter() error {
	if os.Geteuid() != 0 {
		return errors.New("this needs root, to make network namespaces")
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	return cmd.Run()
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-firewall:", err)
		os.Exit(1)
	}
	os.Exit(0)
}
