package registries

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"syscall"
)

// enforce makes containerd and the proxy do what s says, which was checked.
func (r *Registries) enforce(ctx context.Context, s Settings) (foreign []string, err error) {
	p := makePlan(s, r.cfg.MirrorsOnly)
	routes := map[string]*upstream{}
	for path, rt := range p.routes {
		if routes[path], err = newUpstream(rt); err != nil {
			return nil, err
		}
	}
	e, err := r.entrance(ctx, len(routes) > 0)
	if err != nil {
		return nil, err
	}
	// A hosts file that leads to the proxy must find its route there, the former as
	// well as the new one.
	if r.proxy != nil {
		r.proxy.add(routes)
	}
	if foreign, err = certsD(r.cfg.CertsDir).apply(p.files(e)); err != nil {
		return foreign, err
	}
	if r.proxy != nil {
		r.proxy.set(routes)
	}
	return foreign, nil
}

// entrance starts the proxy when it is needed for the first time.
func (r *Registries) entrance(ctx context.Context, needed bool) (entrance, error) {
	if r.proxy == nil && needed {
		p, err := newProxy(r.log)
		if err != nil {
			return entrance{}, err
		}
		r.proxy = p
		go func() { r.failed <- p.serve(ctx) }()
	}
	if r.proxy == nil {
		return entrance{}, nil
	}
	return r.proxy.entrance, nil
}

// check reads every certificate: containerd would notice at a pull.
func (s Settings) check() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(s.Hosts)) {
		if _, err := s.Hosts[name].TLS.config(); err != nil {
			errs = append(errs, fmt.Errorf("configs: %q: tls: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// files are all certificates that s names, in order.
func (s Settings) files() []string {
	var out []string
	for _, h := range s.Hosts {
		out = append(out, h.TLS.files()...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// inode tells a file from one that was renamed over it.
func inode(st fs.FileInfo) uint64 {
	if s, ok := st.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}
