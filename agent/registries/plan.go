package registries

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// plan is what settings mean: one hosts file for each registry that they speak
// of, and what the proxy does. It is pure; its text form are the hosts files.
type plan struct {
	// hosts has the ways to each registry; "*" for all others.
	hosts map[string]ways
	// routes of the proxy by their path, "/REGISTRY/NUMBER/HOST".
	routes map[string]route
}

// ways are where a registry's images come from, in the order in which they are
// tried.
type ways struct {
	mirrors []way
	// last is tried after all mirrors: the registry itself, or where that is not
	// wanted the last mirror. An empty URL leaves the choice to containerd.
	last way
}

// way is one entry of a hosts file.
type way struct {
	url *url.URL // with the path of the API; nil only in last
	// route is the path at the proxy; empty for a way that containerd goes itself.
	route string
	tls   TLS
	// own tells that this is the registry itself, which may do more than mirrors.
	own bool
}

// route is one way through the proxy.
type route struct {
	upstream *url.URL // with the path of the API
	rewrites []Rewrite
	host     Host
	// own tells that upstream is the registry of the image itself, for which the
	// password of a pod is meant.
	own bool
}

// makePlan says what s means. With mirrorsOnly a registry that has mirrors is
// never asked itself; one that has settings of its own and only the mirrors of all
// is.
func makePlan(s Settings, mirrorsOnly bool) plan {
	p := plan{hosts: map[string]ways{}, routes: map[string]route{}}
	names := map[string]bool{}
	for name := range s.Mirrors {
		names[name] = true
	}
	for name := range s.Hosts {
		names[registryOf(name, s)] = true
	}
	for name := range names {
		if name != "" {
			p.add(name, s, mirrorsOnly)
		}
	}
	return p
}

// registryOf is the registry whose hosts file has to say what is set for a host.
// Hosts that are the endpoint of a mirror and nobody's registry get a file as
// well: images may be named after them.
func registryOf(host string, s Settings) string {
	if _, named := s.Mirrors[host]; named {
		return host
	}
	if host == dockerHost || host == dockerAlias {
		return dockerName
	}
	return host
}

const (
	// dockerName is what images of Docker's registry are called by, dockerHost where
	// they are, dockerAlias what Docker keeps their passwords under.
	dockerName  = "docker.io"
	dockerHost  = "registry-1.docker.io"
	dockerAlias = "index.docker.io"
)

// ownURL is where containerd looks for images of a registry if nobody says
// otherwise.
func ownURL(registry string, s Settings) *url.URL {
	u := &url.URL{Scheme: "https", Host: registry, Path: "/v2"}
	switch {
	case registry == dockerName:
		u.Host = dockerHost
	case isLoopback(registry) && s.host(registry).TLS.Empty() && !strings.HasSuffix(registry, ":443"):
		u.Scheme = "http"
	}
	return u
}

// host is what is set for a host, or else for all.
func (s Settings) host(name string) Host {
	if h, ok := s.Hosts[name]; ok {
		return h
	}
	if name == dockerHost {
		for _, alias := range []string{dockerName, dockerAlias} {
			if h, ok := s.Hosts[alias]; ok {
				return h
			}
		}
	}
	return s.Hosts[wildcard]
}

func (p plan) add(registry string, s Settings, mirrorsOnly bool) {
	m, named := s.Mirrors[registry]
	if !named {
		m = s.Mirrors[wildcard]
	}
	var own *url.URL
	if registry != wildcard {
		own = ownURL(registry, s)
	}
	var w ways
	listed := false
	for i, e := range m.Endpoints {
		u := withAPI(e)
		itself := own != nil && u.Host == own.Host
		listed = listed || itself
		w.mirrors = append(w.mirrors, p.way(registry, i, route{u, m.Rewrites, s.host(u.Host), itself}))
	}
	switch n := len(w.mirrors); {
	case n > 0 && (listed || mirrorsOnly && (named || own == nil)):
		w.mirrors, w.last = w.mirrors[:n-1], w.mirrors[n-1]
	case own == nil:
		w.last = way{tls: s.Hosts[wildcard].TLS, own: true}
	default:
		w.last = p.way(registry, n, route{upstream: own, host: s.host(own.Host), own: true})
		if w.last.route == "" && w.last.tls.Empty() {
			w.last.url = nil // containerd knows best where it is
		}
	}
	if registry == wildcard && len(m.Endpoints) == 0 && w.last.tls.Empty() {
		return
	}
	p.hosts[registry] = w
}

// withAPI gives an endpoint the path of the API unless it has one of its own.
func withAPI(e *url.URL) *url.URL {
	u := *e
	u.Path = strings.TrimRight(u.Path, "/")
	if u.Path == "" {
		u.Path = "/v2"
	}
	return &u
}

// way decides who goes there. What containerd can say itself, it does itself.
func (p plan) way(registry string, number int, r route) way {
	if len(r.rewrites) == 0 && r.host.Auth.Empty() {
		return way{url: r.upstream, tls: r.host.TLS, own: r.own}
	}
	path := "/" + cmp.Or(strings.Trim(registry, wildcard), "_default") + "/" + strconv.Itoa(number) + "/" + r.upstream.Host
	p.routes[path] = r
	return way{url: r.upstream, route: path}
}

// entrance is how containerd gets to the proxy.
type entrance struct {
	address string // 127.0.0.1:PORT
	key     Secret
}

const (
	// mark is the first line of a hosts file that kedge may change and remove.
	mark = "# Written by kedge from registries.yaml: changes here are lost."
	// keyHeader proves to the proxy that containerd is asking.
	keyHeader = "X-Kedge-Key"
	// pullOnly is what mirrors and the proxy are for.
	pullOnly = `capabilities = ["pull", "resolve"]`
	// dialTimeout is how long a mirror may be silent before the next is tried.
	dialTimeout = "10s"
)

// files are the hosts files by the name of their folder.
func (p plan) files(e entrance) map[string]string {
	out := map[string]string{}
	for registry, w := range p.hosts {
		out[folder(registry)] = w.text(e)
	}
	return out
}

// folder is the name by which containerd looks for a registry
// (core/remotes/docker/config, hostDirectory).
func folder(registry string) string {
	if registry == wildcard {
		return "_default"
	}
	if i := strings.LastIndex(registry, ":"); i > 0 {
		return registry[:i] + "_" + registry[i+1:] + "_"
	}
	return registry
}

// text is a hosts.toml. Whatever is of no table must come first.
func (w ways) text(e entrance) string {
	var b strings.Builder
	b.WriteString(mark + "\n")
	if w.last.url != nil {
		fmt.Fprintf(&b, "server = %s\n", quote(w.last.address(e)))
	}
	body, header := w.last.body(e)
	b.WriteString(body)
	if header != "" {
		b.WriteString("\n[header]\n" + header)
	}
	for _, m := range w.mirrors {
		body, header := m.body(e)
		table := "host." + quote(m.address(e))
		fmt.Fprintf(&b, "\n[%s]\n%sdial_timeout = %s\n", table, body, quote(dialTimeout))
		if header != "" {
			fmt.Fprintf(&b, "[%s.header]\n%s", table, header)
		}
	}
	return b.String()
}

// address is what containerd connects to.
func (w way) address(e entrance) string {
	if w.route != "" {
		return "http://" + e.address + w.route + "/v2"
	}
	return w.url.String()
}

// body has the values of a way, header those of its table of headers.
func (w way) body(e entrance) (body, header string) {
	if w.route != "" {
		return pullOnly + "\n", fmt.Sprintf("%s = %s\n", quote(keyHeader), quote(string(e.key)))
	}
	var lines []string
	if !w.own {
		lines = append(lines, pullOnly)
	}
	if w.url != nil && w.url.Path != "/v2" {
		lines = append(lines, "override_path = true")
	}
	if w.url == nil || w.url.Scheme == "https" {
		lines = append(lines, w.tls.lines()...)
	}
	return strings.Join(append(lines, ""), "\n"), ""
}

func (t TLS) lines() []string {
	var out []string
	if t.CAFile != "" {
		out = append(out, "ca = "+quote(t.CAFile))
	}
	switch {
	case t.KeyFile != "":
		out = append(out, fmt.Sprintf("client = [[%s, %s]]", quote(t.CertFile), quote(t.KeyFile)))
	case t.CertFile != "":
		out = append(out, "client = "+quote(t.CertFile))
	}
	if t.Insecure {
		out = append(out, "skip_verify = true")
	}
	return out
}

// quote makes a basic string of TOML, whose escapes strconv's ones are for the
// text that URLs and paths consist of.
func quote(s string) string { return strconv.QuoteToASCII(s) }

// registries are the names that p speaks of, in order.
func (p plan) registries() []string { return slices.Sorted(maps.Keys(p.hosts)) }
