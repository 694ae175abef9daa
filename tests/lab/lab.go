package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Zone is the DNS zone of the simulated internet: every host of a public site has the name
// HOST.lab.test.
const Zone = "lab.test"

// Lab is a running simulated internet. Its methods may be used from several goroutines.
type Lab struct {
	run   string
	out   string
	line  lifeline
	reap  *reaper
	inet  *network
	sites map[string]*SiteNet
	hosts map[string]*Host
	order []string // host names as in the topology
	roots map[string]string
	dns   *nameServer

	close sync.Once
	err   error
}

// SiteNet is a site of a running lab.
type SiteNet struct {
	// Uplink joins the site's gateway to the internet.
	Uplink *Link
	gw     *network
	plan   sitePlan
	inet   *network
	line   *delayLine // nil without delay
}

// Up builds t. Logs of every host go to out/HOST/NAME.log. The caller calls Close; if it dies
// first, everything but out is removed just the same.
func Up(ctx context.Context, t Topology, out string) (*Lab, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("the laboratory makes namespaces and cgroups: run it as root")
	}
	p, err := t.addresses()
	if err != nil {
		return nil, fmt.Errorf("topology: %w", err)
	}
	if err := Sweep(); err != nil {
		return nil, fmt.Errorf("sweep what an earlier laboratory left: %w", err)
	}
	l := &Lab{out: out, roots: t.Roots, sites: map[string]*SiteNet{}, hosts: map[string]*Host{}}
	if err := l.begin(); err != nil {
		return nil, err
	}
	if err := l.build(ctx, p); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// begin claims the run's name and starts the reaper, before there is anything to remove.
func (l *Lab) begin() error {
	var err error
	if l.run, err = newRun(); err != nil {
		return err
	}
	if l.line, err = newLifeline(); err != nil {
		return err
	}
	if l.reap, err = startReaper(l.run, l.line); err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(l.Dir(), 0o755), os.MkdirAll(l.out, 0o755))
}

func (l *Lab) build(ctx context.Context, p plan) error {
	if err := l.buildInternet(); err != nil {
		return err
	}
	for i := range p.sites {
		sp := p.sites[i]
		if err := l.buildSite(sp); err != nil {
			return fmt.Errorf("site %s: %w", sp.Name, err)
		}
		for _, hp := range sp.hosts {
			h := &Host{lab: l, plan: hp, addr: hp.addr, site: l.sites[sp.Name]}
			l.hosts[hp.name] = h
			l.order = append(l.order, hp.name)
			if err := h.PowerOn(ctx); err != nil {
				return fmt.Errorf("host %s: %w", hp.name, err)
			}
		}
	}
	for _, h := range l.Hosts() {
		if err := h.awaitInternet(ctx); err != nil {
			return err
		}
	}
	var err error
	l.dns, err = serveNames(l.inet, l.publicNames())
	return err
}

func (l *Lab) publicNames() map[string]string {
	names := map[string]string{}
	for _, h := range l.hosts {
		if h.site.plan.Public {
			names[h.Name()+"."+Zone+"."] = h.IP()
		}
	}
	return names
}

// Close ends every process of the lab and removes everything but the logs. It may be called
// more than once.
func (l *Lab) Close() error {
	l.close.Do(func() {
		if l.dns != nil {
			l.dns.close()
		}
		// The owner's end of the pipe: hosts end at once, the reaper starts.
		err := l.line.write.Close()
		l.err = errors.Join(err, l.line.read.Close(), l.reap.wait(90*time.Second))
		for _, h := range l.hosts {
			h.release()
		}
		for _, s := range l.sites {
			s.line.close()
			s.gw.release()
		}
		if l.inet != nil {
			l.inet.release()
		}
	})
	return l.err
}

// Host returns the host of that name, or nil.
func (l *Lab) Host(name string) *Host { return l.hosts[name] }

// Hosts returns all hosts in the order of the topology.
func (l *Lab) Hosts() []*Host {
	all := make([]*Host, 0, len(l.order))
	for _, n := range l.order {
		all = append(all, l.hosts[n])
	}
	return all
}

// Site returns the site of that name, or nil.
func (l *Lab) Site(name string) *SiteNet { return l.sites[name] }

// Dir is the lab's directory on disk. It goes with the lab.
func (l *Lab) Dir() string { return filepath.Join(base, l.run) }

// Out is the directory of logs. It stays.
func (l *Lab) Out() string { return l.out }
