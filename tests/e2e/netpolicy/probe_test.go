package netpolicy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/internal/testx"
	"github.com/kedge-io/kedge/tests/lab"
	"github.com/kedge-io/kedge/tests/lab/cluster"
)

const (
	// passes and fails are how long a probe is waited for that is to work, or not to.
	passes, fails = 3, 1
	// settles is how long nodes may take to follow, on a busy machine.
	settles = 45 * time.Second
)

// probe is one thing to try.
type probe struct {
	text, from string
	cluster.Check
	want bool
}

// probes reads "x/a > v/b:8080, x/a > v/b:8081/udp". Receivers are:
//
//	x/a:8080         a pod
//	svc.x/a:80       the address of its service
//	np.x/a@edge1:0   its port on a node
//	out:8080         the host outside
//	host.edge1:8080  a node
//	dns:NAME         a name is resolved; any other port is one of the server's
//	api:443          the API
//
// and senders are pods, "out" and "host.edge1".
func (s *scene) probes(t *testing.T, list string, want bool) []probe {
	t.Helper()
	var all []probe
	for text := range strings.SplitSeq(list, ",") {
		text = strings.TrimSpace(text)
		if text == "" {
			continue
		}
		from, to, ok := strings.Cut(text, " > ")
		i := strings.LastIndex(to, ":")
		if !ok || i < 0 {
			t.Fatalf("probe %q: want FROM > TO:PORT", text)
		}
		p := probe{text: text, from: from, want: want, Check: s.check(t, to[:i], to[i+1:])}
		p.Seconds = fails
		if want {
			p.Seconds = passes
		}
		all = append(all, p)
	}
	return all
}

func (s *scene) check(t *testing.T, to, port string) cluster.Check {
	t.Helper()
	port, proto, _ := strings.Cut(port, "/")
	kind, bytes := cmp.Or(proto, "tcp"), int64(100)
	if to == "dns" {
		if _, err := strconv.Atoi(port); err != nil {
			return cluster.Check{Kind: "dns", To: port}
		}
	}
	addr, port := s.address(t, to, port)
	if kind == "ping" {
		return cluster.Check{Kind: kind, To: addr, Bytes: bytes}
	}
	return cluster.Check{Kind: kind, To: net.JoinHostPort(addr, port), Bytes: bytes}
}

func (s *scene) address(t *testing.T, to, port string) (string, string) {
	t.Helper()
	kind, rest, _ := strings.Cut(to, ".")
	name, node, _ := strings.Cut(rest, "@")
	switch {
	case to == outside:
		return s.out.IP(), port
	case to == "dns":
		return "10.43.0.10", port
	case to == "api":
		return "10.43.0.1", port
	case kind == "host":
		return s.node[rest], port
	case kind == "svc":
		return s.service[rest], port
	case kind == "np" && node == outside:
		return s.c.Server.Host.IP(), fmt.Sprint(s.port[name])
	case kind == "np":
		return s.node[node], fmt.Sprint(s.port[name])
	case s.pods[to] == nil:
		t.Fatalf("there is no %q", to)
	}
	return s.pods[to].Status.PodIP, port
}

// round tries all probes at the same time and tells which did not go as they are to.
func (s *scene) round(ctx context.Context, all []probe) error {
	from := map[string][]probe{}
	for _, p := range all {
		from[p.from] = append(from[p.from], p)
	}
	var mu sync.Mutex
	var problems []error
	var wg sync.WaitGroup
	for name, list := range from {
		wg.Go(func() {
			err := s.try(ctx, name, list)
			mu.Lock()
			problems = append(problems, err)
			mu.Unlock()
		})
	}
	wg.Wait()
	return errors.Join(problems...)
}

// try makes the probes of one sender.
func (s *scene) try(ctx context.Context, from string, list []probe) error {
	results := make([]cluster.CheckResult, len(list))
	if pod := s.pods[from]; pod != nil {
		checks := make([]cluster.Check, len(list))
		for i := range list {
			checks[i] = list[i].Check
		}
		var err error
		if results, err = s.c.Checks(ctx, pod, checks); err != nil {
			return err
		}
	} else {
		var wg sync.WaitGroup
		for i := range list {
			wg.Go(func() { results[i] = dial(ctx, s.host(from), list[i].Check) })
		}
		wg.Wait()
	}
	var problems []error
	for i, r := range results {
		if r.Worked != list[i].want {
			problems = append(problems, fmt.Errorf("%s works: %t, want %t %s", list[i].text, r.Worked, list[i].want, r.Error))
		}
	}
	return errors.Join(problems...)
}

func (s *scene) host(name string) *lab.Host {
	if name == outside {
		return s.out
	}
	return s.c.Node(strings.TrimPrefix(name, "host.")).Host
}

// dial connects from a host.
func dial(ctx context.Context, h *lab.Host, c cluster.Check) cluster.CheckResult {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(c.Seconds)*time.Second)
	defer cancel()
	conn, err := h.DialContext(ctx, "tcp", c.To)
	if err != nil {
		return cluster.CheckResult{Error: err.Error()}
	}
	_ = conn.Close()
	return cluster.CheckResult{Worked: true}
}

// expect waits until a whole round goes as it is to, and is explained so.
func (s *scene) expect(t *testing.T, yes, no string) {
	t.Helper()
	all := append(s.probes(t, yes, true), s.probes(t, no, false)...)
	ctx, cancel := context.WithTimeout(t.Context(), settles)
	defer cancel()
	err := testx.Poll(ctx, func(context.Context) error {
		if err := s.round(t.Context(), all); err != nil {
			return err
		}
		return s.explained(t.Context(), all)
	})
	if err != nil {
		t.Errorf("%v", err)
	}
}

// explained is that the server says of packets between pods what becomes of them.
func (s *scene) explained(ctx context.Context, all []probe) error {
	var problems []error
	for _, p := range all {
		_, to, _ := strings.Cut(p.text, " > ")
		receiver, _, _ := strings.Cut(to, ":")
		if s.pods[p.from] == nil || s.pods[receiver] == nil || p.Kind != "tcp" && p.Kind != "udp" {
			continue
		}
		x, err := s.c.Explain(ctx, p.from, p.To, p.Kind)
		if err == nil && (x.Verdict != model.Deny) != p.want {
			err = fmt.Errorf("%s works: %t, explained is %q: %s", p.text, p.want, x.Verdict, x.Why)
		}
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// holds is that all rounds are right from the first on.
func (s *scene) holds(t *testing.T, what, yes, no string) {
	t.Helper()
	if err := s.round(t.Context(), append(s.probes(t, yes, true), s.probes(t, no, false)...)); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}
