package uplink

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// Config is what a person says about uplinks.
type Config struct {
	// Uplinks are DEV=EGRESS[/INGRESS], DEV, "auto" with or without rates, or
	// "none". None at all is "auto".
	Uplinks []string
	// Reserve names further members of the control class: tcp/179, udp/3784,
	// cgroup:/system.slice/bird.service.
	Reserve []string
	// ReserveRate is what the control class is guaranteed on each uplink: a share
	// such as "5%", or a rate such as "2M". Empty leaves it to the plan.
	ReserveRate string
}

// Words for uplinks that have no name.
const (
	Auto = "auto"
	None = "none"
)

// Validate reports all problems, joined.
func (c Config) Validate() error {
	_, err := c.parse()
	return err
}

// parsed is a Config that was understood.
type parsed struct {
	uplinks []spec
	ports   []model.Port
	cgroups []string
	reserve share
}

// spec is one uplink as a person wants it.
type spec struct {
	device string // empty for that of the default route
	none   bool
	rates  [2]bitrate.Rate // 0 for the speed of the port
}

// share is a part of a rate or, with fixed, the same of all.
type share struct {
	perMille uint64
	fixed    bitrate.Rate
}

func (s share) of(r bitrate.Rate) bitrate.Rate {
	if s.perMille > 0 {
		return r.Part(s.perMille, 1000)
	}
	return s.fixed
}

func (c Config) parse() (parsed, error) {
	var p parsed
	var errs []error
	add := func(flag string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", flag, err))
		}
	}
	for _, word := range c.Uplinks {
		s, err := parseUplink(word)
		add("--uplink", err)
		if err == nil {
			p.uplinks = append(p.uplinks, s)
		}
	}
	if len(c.Uplinks) == 0 {
		p.uplinks = []spec{{}}
	}
	add("--uplink", agree(p.uplinks))
	for _, word := range c.Reserve {
		add("--uplink-reserve", p.parseReserve(word))
	}
	var err error
	p.reserve, err = parseShare(c.ReserveRate)
	add("--uplink-reserve-rate", err)
	return p, errors.Join(errs...)
}

// slowest is the lowest rate of an uplink: below it not even the control class
// could do its work.
const slowest = 100 * bitrate.Kbit

func parseUplink(word string) (spec, error) {
	device, rates, rated := strings.Cut(word, "=")
	s := spec{device: device}
	switch {
	case word == None:
		return spec{none: true}, nil
	case device == Auto:
		s.device = ""
	case device == None:
		return s, fmt.Errorf("%q: %s has no rates", word, None)
	case device == "" || len(device) >= unix.IFNAMSIZ || strings.ContainsAny(device, "/ \t:") || device == "." || device == "..":
		return s, fmt.Errorf("%q: %q cannot be the name of a device; expected DEV=EGRESS[/INGRESS] such as eth0=20M/100M, %s or %s", word, device, Auto, None)
	case device == "lo" || device == "kedge0" || strings.HasPrefix(device, "kedge-"):
		return s, fmt.Errorf("%q: %s leads to nobody outside; name the device of the default route (ip route show default), or %s", word, device, Auto)
	}
	if !rated {
		return s, nameless(word)
	}
	out, in, two := strings.Cut(rates, "/")
	if !two {
		in = out
	}
	for d, text := range []string{out, in} {
		rate, err := bitrate.Parse(text)
		if err == nil && rate < slowest {
			err = fmt.Errorf("%q is out of range: expected at least %s", text, slowest)
		}
		if err != nil {
			return s, fmt.Errorf("%q: %s: %w", word, model.Direction(d), err)
		}
		s.rates[d] = rate
	}
	return s, nil
}

// nameless tells of a rate where a device is expected: "10M" instead of "auto=10M".
func nameless(word string) error {
	if _, err := bitrate.Parse(word); err != nil {
		return nil
	}
	return fmt.Errorf("%q is a rate without a device: expected DEV=%s, or %s=%s for the device of the default route", word, word, Auto, word)
}

// agree tells of uplinks that cannot be wanted at once.
func agree(all []spec) error {
	seen := map[string]bool{}
	for _, s := range all {
		if s.none && len(all) > 1 {
			return fmt.Errorf("%q is given with others: leave it or them out", None)
		}
		name := s.device
		if name == "" {
			name = Auto
		}
		if seen[name] {
			return fmt.Errorf("%q is given twice: leave one out", name)
		}
		seen[name] = true
	}
	return nil
}

func (p *parsed) parseReserve(word string) error {
	if path, ok := strings.CutPrefix(word, "cgroup:"); ok {
		if !strings.HasPrefix(path, "/") || path == "/" || slices.Contains(strings.Split(path, "/"), "..") {
			return fmt.Errorf("%q: expected a path below the root of the cgroup hierarchy, such as cgroup:/system.slice/bird.service", word)
		}
		p.cgroups = append(p.cgroups, path)
		return nil
	}
	protocol, number, _ := strings.Cut(word, "/")
	known := map[string]uint8{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP}
	n, err := strconv.ParseUint(number, 10, 16)
	if known[protocol] == 0 || err != nil || n == 0 {
		return fmt.Errorf("%q: expected a port such as tcp/179 or udp/3784, or a cgroup such as cgroup:/system.slice/bird.service", word)
	}
	p.ports = append(p.ports, model.Port{Protocol: known[protocol], Number: uint16(n)})
	return nil
}

func parseShare(word string) (share, error) {
	if word == "" {
		return share{}, nil
	}
	if percent, ok := strings.CutSuffix(word, "%"); ok {
		v, err := strconv.ParseFloat(percent, 64)
		if err != nil || !(v >= 0.1 && v <= 50) {
			return share{}, fmt.Errorf("%q: expected 0.1%% to 50%% of the uplink, or a rate such as 2M", word)
		}
		return share{perMille: uint64(v*10 + 0.5)}, nil
	}
	rate, err := bitrate.Parse(word)
	if err != nil {
		return share{}, fmt.Errorf("%w, or a share such as 5%%", err)
	}
	return share{fixed: rate}, nil
}
