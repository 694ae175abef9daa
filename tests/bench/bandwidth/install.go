package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
)

// shaper gives ceilings to the namespaces of this host: pods p0.. below n.
type shaper interface {
	// install shapes all to that many Mbit/s in both directions.
	install(n, mbit int) error
	// change gives all another ceiling; errNot if that is not possible.
	change(n, mbit int) error
	remove(n int) error
}

var errNot = errors.New("it cannot do that")

// install is the role that times a shaper on the host that it runs on.
func install(args []string) error {
	flags := flag.NewFlagSet("install", flag.ExitOnError)
	subject := flags.String("subject", "", "kedge, plugin or tc by exec")
	plugin := flags.String("plugin", "", "the bandwidth plugin")
	n := flags.Int("pods", plainPods, "how many")
	mbit := flags.Int("rate", 10, "ceiling in Mbit/s")
	keep := flags.Bool("keep", false, "leave it installed")
	sweep := flags.Bool("sweep", false, "only remove")
	_ = flags.Parse(args)
	var s shaper
	switch *subject {
	case "kedge":
		s = &own{}
	case "plugin":
		s = cni{*plugin}
	default:
		s = tc{}
	}
	var r installed
	if o, ok := s.(*own); ok && !*sweep {
		if err := o.begin(); err != nil {
			return err
		}
	}
	steps := []struct {
		into *timing
		skip bool
		do   func() error
	}{
		{&r.Install, *sweep, func() error { return s.install(*n, *mbit) }},
		{&r.Change, *sweep || *keep, func() error { return s.change(*n, 2**mbit) }},
		{&r.Remove, *keep, func() error { return s.remove(*n) }},
	}
	for _, step := range steps {
		if step.skip {
			continue
		}
		t, err := clock(step.do)
		if errors.Is(err, errNot) {
			continue
		}
		if err != nil {
			return err
		}
		*step.into = t
	}
	if *subject == "kedge" && !*keep && !*sweep {
		if err := r.atOnce(&own{}, *n, *mbit); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// atOnce times one plan for all pods, as an agent makes it when it starts.
func (r *installed) atOnce(o *own, n, mbit int) (err error) {
	if err := o.begin(); err != nil {
		return err
	}
	if r.InstallAll, err = clock(func() error { return o.all(n, mbit) }); err != nil {
		return err
	}
	if r.ChangeAll, err = clock(func() error { return o.all(n, 2*mbit) }); err != nil {
		return err
	}
	r.RemoveAll, err = clock(func() error { return o.kernel.Remove(context.Background()) })
	return err
}

// clock is the time that do takes, and the processor time of this process and the
// children that it waited for.
func clock(do func() error) (timing, error) {
	began, used := time.Now(), processor()
	err := do()
	return timing{time.Since(began), processor() - used}, err
}

func processor() time.Duration {
	var sum int64
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if unix.Getrusage(who, &u) == nil {
			sum += u.Utime.Nano() + u.Stime.Nano()
		}
	}
	return time.Duration(sum)
}

// each calls do for every pod until one fails.
func each(n int, do func(i int) error) error {
	for i := range n {
		if err := do(i); err != nil {
			return fmt.Errorf("%s: %w", name(i), err)
		}
	}
	return nil
}

// cni is the bandwidth plugin, a process for each call as a runtime starts it.
type cni struct{ path string }

func (c cni) call(verb string, i, mbit int) error {
	argv := pluginCommand(c.path, verb, i)
	// Without the help of env(1), which would be a process more.
	cmd := exec.Command(c.path)
	cmd.Env = argv[1 : len(argv)-1]
	cmd.Stdin = bytes.NewReader(pluginConfig(i, mbit))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("plugin %s: %w: %s", verb, err, out)
	}
	return nil
}

func (c cni) install(n, mbit int) error {
	return each(n, func(i int) error { return c.call("ADD", i, mbit) })
}

func (c cni) change(int, int) error { return errNot }

// remove also clears the veth pairs, which go by themselves with a pod.
func (c cni) remove(n int) error {
	if err := each(n, func(i int) error { return c.call("DEL", i, 10) }); err != nil {
		return err
	}
	var lines bytes.Buffer
	for i := range n {
		fmt.Fprintf(&lines, "qdisc del dev %[1]s root\nqdisc del dev %[1]s ingress\n", name(i))
	}
	cmd := exec.Command("tc", "-batch", "-")
	cmd.Stdin = &lines
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("tc: %w: %s", err, out)
	}
	return nil
}

// tc makes what kedge makes as far as tc(8) can, a process for each thing as a script
// does it: two HTB trees, in them a class and a queue for each pod, and filters by
// address.
type tc struct{}

// Devices of the trees.
const (
	treeOut = "ifb-out"
	treeIn  = "ifb-in"
)

func tool(argv ...string) error {
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%q: %w: %s", argv, err, out)
	}
	return nil
}

func tools(all ...[]string) error {
	for _, argv := range all {
		if err := tool(argv...); err != nil {
			return err
		}
	}
	return nil
}

func (tc) install(n, mbit int) error {
	for _, dev := range []string{treeOut, treeIn} {
		err := tools(
			[]string{"ip", "link", "add", dev, "type", "ifb"},
			[]string{"ip", "link", "set", dev, "up"},
			[]string{"tc", "qdisc", "add", "dev", dev, "root", "handle", "1:", "htb"},
			[]string{"tc", "class", "add", "dev", dev, "parent", "1:", "classid", "1:1", "htb", "rate", "40gbit"})
		if err != nil {
			return err
		}
	}
	return each(n, func(i int) error { return tc{}.pod(i, mbit) })
}

func (tc) pod(i, mbit int) error {
	_, addr := addresses(i)
	id, pref, rate := fmt.Sprintf("1:%x", i+2), fmt.Sprint(i+1), fmt.Sprint(mbit, "mbit")
	if err := tool("tc", "qdisc", "add", "dev", name(i), "clsact"); err != nil {
		return err
	}
	for _, d := range []struct{ dev, hook, match string }{{treeOut, "ingress", "src"}, {treeIn, "egress", "dst"}} {
		err := tools(
			[]string{"tc", "class", "add", "dev", d.dev, "parent", "1:1", "classid", id, "htb", "rate", "64kbit", "ceil", rate, "burst", "16k", "cburst", "16k"},
			[]string{"tc", "qdisc", "add", "dev", d.dev, "parent", id, "bfifo", "limit", "128k"},
			[]string{"tc", "filter", "add", "dev", d.dev, "parent", "1:", "protocol", "ip", "pref", pref, "u32", "match", "ip", d.match, addr, "flowid", id},
			[]string{"tc", "filter", "add", "dev", name(i), d.hook, "protocol", "ip", "pref", "1", "u32", "match", "u32", "0", "0", "action", "mirred", "egress", "redirect", "dev", d.dev})
		if err != nil {
			return err
		}
	}
	return nil
}

func (tc) change(n, mbit int) error {
	return each(n, func(i int) error {
		id, rate := fmt.Sprintf("1:%x", i+2), fmt.Sprint(mbit, "mbit")
		change := func(dev string) []string {
			return []string{"tc", "class", "change", "dev", dev, "parent", "1:1", "classid", id, "htb", "rate", "64kbit", "ceil", rate, "burst", "16k", "cburst", "16k"}
		}
		return tools(change(treeOut), change(treeIn))
	})
}

func (tc) remove(n int) error {
	err := each(n, func(i int) error {
		id, pref := fmt.Sprintf("1:%x", i+2), fmt.Sprint(i+1)
		err := tool("tc", "qdisc", "del", "dev", name(i), "clsact")
		for _, dev := range []string{treeOut, treeIn} {
			if err == nil {
				err = tools(
					[]string{"tc", "filter", "del", "dev", dev, "parent", "1:", "protocol", "ip", "pref", pref},
					[]string{"tc", "class", "del", "dev", dev, "classid", id})
			}
		}
		return err
	})
	return errors.Join(err, tools([]string{"ip", "link", "del", treeOut}, []string{"ip", "link", "del", treeIn}))
}
