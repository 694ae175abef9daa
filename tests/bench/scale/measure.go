package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/kedge-io/kedge/tests/bench/bed"
)

// result is what one kind of server showed. Memory is in bytes for each agent.
type result struct {
	Kind                     string
	Agents                   int
	Resident, Anonymous      float64
	Heap, Stacks, Goroutines float64
	CPU                      float64 // processor seconds per second, all agents idle
	Arrive                   float64 // seconds until all are there at first
	Back                     float64 // seconds from the new server's start until all are back
	BackCPU                  float64 // processor seconds that this took the server
	DialP50, DialP99         float64 // milliseconds, one request to each agent
	DialFailures             int
	Changes                  []float64 // milliseconds until all have acknowledged a change of the firewall
	AgentResident            float64   // resident bytes of the agents' processes for each agent
}

func measureKind(ctx context.Context, o options, kind string) (r result, err error) {
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	f := &fleet{o: o, kind: kind, self: self}
	defer f.stop()
	r = result{Kind: kind, Agents: o.agents}
	if err := f.startServer(); err != nil {
		return r, err
	}
	if _, err := await(ctx, o, 0); err != nil {
		return r, err
	}
	before, err := f.look()
	if err != nil {
		return r, err
	}
	began := time.Now()
	if err := f.startAgents(); err != nil {
		return r, err
	}
	if _, err := await(ctx, o, o.agents); err != nil {
		return r, err
	}
	r.Arrive = time.Since(began).Seconds()
	progress("%s: %d agents arrived after %.1f s", kind, o.agents, r.Arrive)
	if err := f.idle(ctx, &r, before); err != nil {
		return r, err
	}
	if kind == kindTLS {
		return r, nil // the rest is of links
	}
	if err := f.dialAll(&r); err != nil {
		return r, err
	}
	if err := f.changeAll(&r); err != nil {
		return r, err
	}
	return r, f.restart(ctx, &r)
}

// changes is how many changes of the firewall are measured.
const changes = 20

// changeAll changes an entry of a set that all agents have.
func (f *fleet) changeAll(r *result) error {
	for range changes {
		var c changed
		if err := get("/change", &c); err != nil || c.Error != "" {
			return errors.Join(err, errors.New(c.Error))
		}
		r.Changes = append(r.Changes, c.Milliseconds)
	}
	return nil
}

// idle measures memory and processor time while nothing happens.
func (f *fleet) idle(ctx context.Context, r *result, before look) error {
	if err := wait(ctx, f.o.settle); err != nil {
		return err
	}
	used, err := bed.CPU(f.server.Process.Pid)
	if err != nil {
		return err
	}
	began := time.Now()
	if f.o.profile {
		go f.keep("profile?seconds="+fmt.Sprint(int(f.o.idle.Seconds())), "idle-cpu")
	}
	if err := wait(ctx, f.o.idle+time.Second); err != nil {
		return err
	}
	then, err := bed.CPU(f.server.Process.Pid)
	if err != nil {
		return err
	}
	r.CPU = (then - used).Seconds() / time.Since(began).Seconds()
	after, err := f.look()
	if err != nil {
		return err
	}
	n := float64(f.o.agents)
	r.Resident, r.Anonymous = float64(after.Resident-before.Resident)/n, float64(after.Anonymous-before.Anonymous)/n
	r.Heap, r.Stacks = float64(after.Heap-before.Heap)/n, float64(after.Stacks-before.Stacks)/n
	r.Goroutines = float64(after.Goroutines-before.Goroutines) / n
	for _, cmd := range f.agents {
		resident, _, err := bed.Resident(cmd.Process.Pid)
		if err != nil {
			return err
		}
		r.AgentResident += float64(resident) / n
	}
	if f.o.profile {
		f.keep("heap?gc=1", "idle-heap")
		f.keep("goroutine?debug=1", "idle-goroutines")
	}
	return nil
}

// restart kills the server, leaves it away for a while and waits for all agents.
func (f *fleet) restart(ctx context.Context, r *result) error {
	if err := f.server.Process.Kill(); err != nil {
		return err
	}
	_ = f.server.Wait()
	if err := wait(ctx, f.o.down); err != nil {
		return err
	}
	began := time.Now()
	if err := f.startServer(); err != nil {
		return err
	}
	if f.o.profile {
		go f.keep("profile?seconds=10", "return-cpu")
	}
	used, err := await(ctx, f.o, f.o.agents)
	if err != nil {
		return err
	}
	r.Back = time.Since(began).Seconds()
	cpu, err := bed.CPU(f.server.Process.Pid)
	r.BackCPU = cpu.Seconds()
	progress("%s: all are back %.1f s after the server's return: %v", f.kind, r.Back, used)
	return err
}

// look is the memory of the server's process now; heap and stacks are those in
// use after a collection.
type look struct {
	Resident, Anonymous, Heap, Stacks int64
	Goroutines                        int
}

func (f *fleet) look() (look, error) {
	// Resident first: as it is, not as a collection leaves it.
	resident, anonymous, err := bed.Resident(f.server.Process.Pid)
	if err != nil {
		return look{}, err
	}
	l := look{}
	if err := get("/memory", &l); err != nil {
		return l, err
	}
	l.Resident, l.Anonymous = resident, anonymous
	return l, nil
}

func (f *fleet) dialAll(r *result) error {
	var answer dialled
	if err := get("/dial", &answer); err != nil {
		return err
	}
	r.DialFailures = answer.Failures
	r.DialP50, r.DialP99 = answer.P50, answer.P99
	return nil
}

// await polls until so many agents are there.
func await(ctx context.Context, o options, agents int) (arrivals, error) {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var now arrivals
	for {
		if err := get("/agents", &now); err == nil && now.Connected >= agents {
			return now, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return now, fmt.Errorf("%d of %d agents are there: %w", now.Connected, agents, ctx.Err())
		}
	}
}

func get(path string, into any) error {
	resp, err := http.Get("http://" + adminAddr + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(into)
}

// keep writes one of the server's profiles to a file.
func (f *fleet) keep(what, name string) {
	var resp *http.Response
	var err error
	for range 50 { // it may just be starting
		if resp, err = http.Get("http://" + adminAddr + "/debug/pprof/" + what); err == nil {
			break
		}
		<-time.After(20 * time.Millisecond)
	}
	if err != nil {
		progress("profile %s: %v", name, err)
		return
	}
	defer resp.Body.Close()
	file, err := os.Create(filepath.Join(f.o.out, f.kind+"-"+name))
	if err != nil {
		progress("profile %s: %v", name, err)
		return
	}
	defer file.Close()
	_, _ = io.Copy(file, resp.Body)
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// report prints the table of docs/benchmarks.md and keeps the results.
func report(o options, all []result) error {
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	base, kedge := all[0], all[1]
	fmt.Printf("| %d agents, the server's end | idle TLS connections | kedge | ratio | aim |\n|---|---|---|---|---|\n", o.agents)
	for _, row := range []struct {
		name   string
		of     func(result) float64
		format string
		aim    string
	}{
		{"resident kB for each agent", func(r result) float64 { return r.Resident / 1e3 }, "%.1f", "150"},
		{"of that anonymous, kB", func(r result) float64 { return r.Anonymous / 1e3 }, "%.1f", ""},
		{"live heap, kB", func(r result) float64 { return r.Heap / 1e3 }, "%.1f", ""},
		{"stacks, kB", func(r result) float64 { return r.Stacks / 1e3 }, "%.1f", ""},
		{"goroutines", func(r result) float64 { return r.Goroutines }, "%.1f", ""},
		{"processor while all are idle, % of a core", func(r result) float64 { return 100 * r.CPU }, "%.2f", "5"},
		{"seconds until all have arrived at first", func(r result) float64 { return r.Arrive }, "%.1f", ""},
	} {
		b, k := row.of(base), row.of(kedge)
		fmt.Printf("| %s | "+row.format+" | "+row.format+" | %.2f | %s |\n", row.name, b, k, k/b, row.aim)
	}
	fmt.Printf("\nall are back %.1f s after the start of a server that was killed and away for %v (aim 20 s); that cost it %.1f s of processor time\n",
		kedge.Back, o.down, kedge.BackCPU)
	fmt.Printf("one request to each agent, 32 at a time: p50 %.1f ms, p99 %.1f ms, %d failed\n", kedge.DialP50, kedge.DialP99, kedge.DialFailures)
	fmt.Printf("one prefix of %d changed on all agents and acknowledged: p50 %.0f ms, most %.0f ms\n",
		entries, bed.Percentile(kedge.Changes, 0.5), bed.Percentile(kedge.Changes, 1))
	fmt.Printf("an agent's end holds %.0f kB resident, its fake kubelet included\n", kedge.AgentResident/1e3)
	return os.WriteFile(filepath.Join(o.out, "results.json"), append(text, '\n'), 0o644)
}
