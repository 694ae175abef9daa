package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/kedge-io/kedge/tests/lab/cluster"
)

const (
	tableInstall = "7. 200 pods in namespaces, both directions, ms for each pod (wall)"
	tableCPU     = "7. the same, ms of processor time for each pod"
	tablePour    = "7. 200 TCP streams, one from each pod"
)

// enough is after which time since the begin of the whole run no further repetition
// begins.
const enough = 13*time.Minute + 30*time.Second

// timing is what a step took, for all pods together.
type timing struct{ Wall, CPU time.Duration }

// installed is what the role install prints.
type installed struct {
	Install, Change, Remove timing
	// All are of one plan for all pods.
	InstallAll, ChangeAll, RemoveAll timing
}

// subjects of part scale. What stays installed is removed before the next.
var subjects = []string{"nothing", "kedge", "plugin", "tc by exec"}

// scale shapes the namespaces of the plain host with each subject, and sends through them.
func (b *bench) scale() {
	for n := range b.o.repeat {
		if n > 0 && time.Since(b.Began) > enough {
			b.Notes = append(b.Notes, fmt.Sprintf("part scale: %d repetitions of %d, for want of time", n, b.o.repeat))
			return
		}
		for _, s := range subjects {
			if s != "nothing" {
				b.installs(s)
			}
			if s == "nothing" || s == "kedge" || s == "plugin" {
				b.pours(s)
			}
		}
	}
}

// installs times what a subject takes.
func (b *bench) installs(subject string) {
	var r installed
	b.role(&r, "install", "-subject", subject, "-plugin", b.o.plugin, "-pods", fmt.Sprint(plainPods), "-rate", "10")
	for _, step := range []struct {
		name string
		t    timing
	}{
		{"install, one after the other", r.Install}, {"change, one after the other", r.Change}, {"remove, one after the other", r.Remove},
		{"install, all at once", r.InstallAll}, {"change, all at once", r.ChangeAll}, {"remove, all at once", r.RemoveAll},
	} {
		if step.t.Wall > 0 {
			b.add(tableInstall, step.name, subject, step.t.Wall.Seconds()*1000/plainPods)
			b.add(tableCPU, step.name, subject, step.t.CPU.Seconds()*1000/plainPods)
		}
	}
}

// pours has all namespaces send at once, shaped with ceilings that nobody reaches.
func (b *bench) pours(subject string) {
	if subject != "nothing" {
		b.role(nil, "install", "-subject", subject, "-plugin", b.o.plugin, "-pods", fmt.Sprint(plainPods), "-rate", "5000", "-keep")
	}
	directions(func(direction string, in bool) {
		args := []string{"pour", "-to", b.Far(), "-pods", fmt.Sprint(plainPods), "-seconds", "3"}
		if in {
			args = append(args, "-in")
		}
		var p poured
		b.role(&p, args...)
		b.add(tablePour, subject, "Gbit/s "+direction, p.Rate/1e9)
		b.add(tablePour, subject, "processor seconds for each Gbit "+direction, p.Busy.Seconds()/(p.Rate*p.Length.Seconds()/1e9))
	})
	if subject != "nothing" {
		b.role(nil, "install", "-subject", subject, "-plugin", b.o.plugin, "-pods", fmt.Sprint(plainPods), "-sweep")
	}
}

// role runs this program on the plain host and reads what it prints.
func (b *bench) role(into any, args ...string) {
	text, errOut, err := b.plain.host.Run(b.t.Context(), append([]string{b.self}, args...)...)
	if err == nil && into != nil {
		err = json.Unmarshal([]byte(text), into)
	}
	if err != nil {
		cluster.Must(b.t, fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, errOut))
	}
}
