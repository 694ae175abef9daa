package shape

import (
	"fmt"
	"strings"

	"github.com/kedge-io/kedge/agent/bandwidth/plan"
)

// Observe reads what is in the kernel now, to be compared with [Kernel.Wish].
func (k *Kernel) Observe() (State, error) {
	have, err := readNow()
	if err != nil {
		return State{}, err
	}
	return have.state(), nil
}

func readNow() (*kernelState, error) {
	c, err := dial()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.read()
}

// Wish is the state that the plan asks for of this kernel and its present links.
func (k *Kernel) Wish(p plan.Plan) (State, error) {
	c, err := dial()
	if err != nil {
		return State{}, err
	}
	defer c.Close()
	have := &kernelState{}
	if err := c.readLinks(have); err != nil {
		return State{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.wish(p, have)
}

func (k *Kernel) wish(p plan.Plan, have *kernelState) (State, error) {
	if err := k.probe(p); err != nil || k.abilities == nil {
		return State{}, err
	}
	return Wish(p, have.facts(*k.abilities)), nil
}

// Check compares the kernel as it is now with the plan, tables included, and
// returns a line for each difference: with "+" what is there and not wanted,
// with "-" what is wanted and not there. None means that all is as planned.
func (k *Kernel) Check(p plan.Plan) ([]string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	have, err := readNow()
	if err != nil {
		return nil, err
	}
	want, err := k.wish(p, have)
	if err != nil {
		return nil, err
	}
	lines := compare(want.String(), have.state().String())
	for _, u := range p.Uplinks {
		set := k.sets[u.Trees[0].Device]
		if set == nil {
			lines = append(lines, fmt.Sprintf("- programs of uplink %s", u.Device))
			continue
		}
		more, err := set.Differences(u)
		if err != nil {
			return nil, fmt.Errorf("reading the tables of uplink %s: %w", u.Device, err)
		}
		lines = append(lines, more...)
	}
	return lines, nil
}

// compare returns lines that only one text has. Lines of a device's classes are
// told apart by its name.
func compare(want, have string) []string {
	var out []string
	missing := lineSet(want)
	for _, l := range lines(have) {
		if missing[l] {
			delete(missing, l)
		} else {
			out = append(out, "+ "+l)
		}
	}
	for _, l := range lines(want) {
		if missing[l] {
			out = append(out, "- "+l)
		}
	}
	return out
}

func lineSet(text string) map[string]bool {
	all := map[string]bool{}
	for _, l := range lines(text) {
		all[l] = true
	}
	return all
}

func lines(text string) []string {
	var all []string
	device := ""
	for l := range strings.Lines(text) {
		l = strings.TrimRight(l, "\n")
		if name, ok := strings.CutPrefix(l, "device "); ok {
			device, _, _ = strings.Cut(name, " ")
		}
		if strings.HasPrefix(l, "  ") {
			l = device + l[1:]
		}
		all = append(all, l)
	}
	return all
}
