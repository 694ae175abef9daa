package preflight

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kedge-io/kedge/agent/firewall/hostfacts"
	"github.com/kedge-io/kedge/internal/finding"
)

const (
	// mostResolvers is what libc (MAXNS, resolv.conf(5)) and kubelet use.
	mostResolvers = 3
	// mostDomains and longestSearch are kubelet's
	// (pkg/apis/core/validation: MaxDNSSearchPaths, MaxDNSSearchListChars);
	// ownDomains are those that it adds for pods.
	mostDomains, longestSearch, ownDomains = 32, 2048, 3
	// askFor is how long a resolver may take for an answer.
	askFor = 1500 * time.Millisecond
	// nobody is a name that resolvers know to be unknown without asking others (RFC
	// 6761, section 6.4).
	nobody = "kedge-check.invalid."
)

// resolvConf is what is read of such a file.
type resolvConf struct {
	servers []netip.Addr
	search  []string
}

func parseResolvConf(text string) resolvConf {
	var out resolvConf
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			if a, err := netip.ParseAddr(words[1]); err == nil {
				out.servers = append(out.servers, a)
			}
		case "search", "domain":
			out.search = words[1:] // the last line counts
		}
	}
	return out
}

// stub is the file of the resolvers behind systemd-resolved.
const stub = "/run/systemd/resolve/resolv.conf"

// resolvers looks at resolv.conf as kedge and kubelet will, and asks the servers.
func (m *machine) resolvers(ctx context.Context) []finding.Finding {
	name := m.cfg.ResolvConf
	if name == "" {
		name = hostfacts.DefaultResolvConf
	}
	conf := parseResolvConf(m.text(name))
	var out []finding.Finding
	if slices.ContainsFunc(conf.servers, netip.Addr.IsLoopback) {
		behind := parseResolvConf(m.text(stub))
		if len(behind.servers) > 0 {
			out = append(out, finding.New(finding.ResolverStub, finding.OK, "%s names a forwarder on loopback, %s the resolvers behind it", name, stub))
			conf.servers = behind.servers
		} else {
			out = append(out, finding.New(finding.ResolverStub, finding.Warning, "%s names a resolver on loopback, and which ones are behind it is not known", name))
		}
	}
	out = append(out, judgeResolvConf(name, conf)...)
	return append(out, m.ask(ctx, conf.servers)...)
}

func judgeResolvConf(name string, conf resolvConf) []finding.Finding {
	if len(conf.servers) == 0 {
		return one(finding.ResolvConf, finding.Warning, "%s has no line nameserver ADDRESS", name)
	}
	out := one(finding.ResolvConf, finding.OK, "%s names %d resolvers", name, len(conf.servers))
	if len(conf.servers) > mostResolvers {
		out = append(out, finding.New(finding.ResolverMany, finding.Info, "%s names %d resolvers", name, len(conf.servers)))
	}
	length := len(strings.Join(conf.search, " "))
	if len(conf.search)+ownDomains > mostDomains || length+128 > longestSearch { // 128: room for those of the cluster
		out = append(out, finding.New(finding.SearchLong, finding.Warning, "the search list has %d domains and %d characters", len(conf.search), length))
	}
	return out
}

// ask asks all servers at the same time. One that answers is enough.
func (m *machine) ask(ctx context.Context, servers []netip.Addr) []finding.Finding {
	if len(servers) == 0 {
		return nil
	}
	servers = servers[:min(len(servers), 2*mostResolvers)]
	errs := make([]error, len(servers))
	var all sync.WaitGroup
	for i, s := range servers {
		all.Go(func() {
			limited, cancel := context.WithTimeout(ctx, askFor)
			defer cancel()
			errs[i] = m.resolve(limited, s, nobody)
		})
	}
	all.Wait()
	var silent []string
	for i, err := range errs {
		if err != nil {
			silent = append(silent, fmt.Sprintf("%s (%s)", servers[i], short(err)))
		}
	}
	switch {
	case len(silent) == 0:
		return one(finding.ResolverSilent, finding.OK, "all %d resolvers answer", len(servers))
	case len(silent) < len(servers):
		return one(finding.ResolverSilent, finding.Info, "some resolvers do not answer: %s", strings.Join(silent, ", "))
	}
	return one(finding.ResolverSilent, finding.Warning, "no resolver answers: %s", strings.Join(silent, ", "))
}

func short(err error) string {
	if errTimeout(err) {
		return fmt.Sprintf("no answer within %s", askFor)
	}
	return err.Error()
}

// askResolver asks one server for the addresses of a name. That there are none is an
// answer.
func askResolver(ctx context.Context, server netip.Addr, name string) error {
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, netip.AddrPortFrom(server, 53).String())
	}}
	_, err := r.LookupNetIP(ctx, "ip4", name)
	var answer *net.DNSError
	if errors.As(err, &answer) && answer.IsNotFound {
		return nil
	}
	return err
}
