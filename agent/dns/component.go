package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	miekg "github.com/miekg/dns"

	"github.com/kedge-io/kedge/agent/loaddr"
	"github.com/kedge-io/kedge/internal/lifecycle"
)

// Name is the component's name.
const Name = "dns"

const (
	// lookAfter is how often the host's resolvers, the address and the rules
	// are compared with what they should be.
	lookAfter  = 15 * time.Second
	probeEvery = 250 * time.Millisecond
)

// DNS answers for the cluster's names on this node.
type DNS struct {
	cfg       Config
	log       *slog.Logger
	report    func(error)
	resolvers resolvConfs
}

// New makes the DNS server of a node. Report, which may be nil, is told of
// every trouble that does not end the component, and nil when it is over.
func New(cfg Config, log *slog.Logger, report func(error)) (*DNS, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if report == nil {
		report = func(error) {}
	}
	return &DNS{cfg: cfg, log: log.With("component", Name), report: report, resolvers: newResolvConfs(cfg)}, nil
}

// Component returns the lifecycle of the DNS server. It is ready when the name
// of the API's service was answered through the address that pods use.
func (d *DNS) Component(needs ...string) lifecycle.Component {
	return lifecycle.Component{Name: Name, Needs: needs, Prepare: d.Prepare, Run: d.Run}
}

// Prepare checks that the address can be listened on.
func (d *DNS) Prepare(ctx context.Context) error {
	s, err := listen(ctx, d.cfg.endpoint())
	s.close()
	return err
}

// Run serves until ctx ends. It answers for the outside at once, and for the
// cluster's names as soon as the API was read.
func (d *DNS) Run(ctx context.Context, ready func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	client, err := clientFrom(d.cfg.Kubeconfig)
	if err != nil {
		return err
	}
	up := &upstream{}
	defer up.close()
	cached, err := configured("cache", cacheStanza, up)
	if err != nil {
		return err
	}
	names, err := newKubernetes(ctx, d.cfg.Domain, client, cached)
	if err != nil {
		return err
	}
	k := newKeeper(d, up)
	if err := k.keep(ctx); err != nil {
		d.report(err)
	}
	s, err := listen(ctx, d.cfg.endpoint())
	if err != nil {
		return err
	}
	go names.APIConn.Run()
	defer func() { _ = names.APIConn.Stop() }()

	served := make(chan error, 1)
	go func() { served <- serve(ctx, d.cfg.endpoint(), s, names) }()
	go d.probe(ctx, ready)
	for {
		select {
		case err := <-served:
			return err
		case <-time.After(lookAfter):
			d.report(k.keep(ctx))
		}
	}
}

// probe asks for the API's service until it is answered, as a pod would.
func (d *DNS) probe(ctx context.Context, ready func()) {
	query := new(miekg.Msg).SetQuestion("kubernetes.default.svc."+miekg.Fqdn(d.cfg.Domain), miekg.TypeA)
	client := &miekg.Client{Timeout: 2 * time.Second}
	for {
		reply, _, err := client.ExchangeContext(ctx, query, d.cfg.endpoint().String())
		if err == nil && reply.Rcode == miekg.RcodeSuccess && len(reply.Answer) > 0 {
			d.log.Info("cluster DNS answers", "address", d.cfg.endpoint(), "domain", d.cfg.Domain)
			ready()
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(probeEvery):
		}
	}
}

// keeper holds the host to what the DNS server needs: the address, the rules
// and the current resolvers.
type keeper struct {
	dns   *DNS
	up    *upstream
	claim loaddr.Claim
}

func newKeeper(d *DNS, up *upstream) *keeper {
	return &keeper{dns: d, up: up, claim: claim(d.cfg.Address, d.cfg.PodLink)}
}

func (k *keeper) keep(ctx context.Context) error {
	if ctx.Err() != nil {
		return nil
	}
	errs := []error{k.claim.Ensure(ctx)}
	resolvers, err := k.dns.resolvers.read()
	errs = append(errs, err)
	if err == nil || errors.Is(err, errNoResolvers) {
		changed, err := k.up.set(resolvers)
		if err != nil {
			errs = append(errs, fmt.Errorf("using the host's resolvers: %w", err))
		}
		if changed {
			k.dns.log.Info("forwarding to the host's resolvers", "resolvers", resolvers)
		}
	}
	return errors.Join(errs...)
}
