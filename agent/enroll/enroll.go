package enroll

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kedge-io/kedge/internal/lifecycle"
	"github.com/kedge-io/kedge/internal/pki"
	"github.com/kedge-io/kedge/internal/wire"
)

// ComponentName is the word for this part in logs and health.
const ComponentName = "enroll"

// Identity is what the rest of the node gets to know.
type Identity struct {
	Node    string
	Files   Files
	Cluster wire.ClusterConfig
	// Pin names the server CA.
	Pin wire.Pin
}

// Enroll gives one node its identity. Its methods are safe for concurrent use.
type Enroll struct {
	config Config
	files  Files
	log    *slog.Logger
	pace   pace

	// wake makes the running renewal look at once, asked that it renews whatever
	// is due.
	wake  chan struct{}
	asked chan *asked
	// timed says that the server's time is known well enough.
	timed atomic.Bool

	mu       sync.Mutex
	identity *Identity
	// authorities are those of the servers, the one that signs now first.
	authorities      []*x509.Certificate
	certs            []*x509.Certificate
	addressesChanged bool
	// following says that the token names an authority that the node does not know.
	following bool
}

// pace holds how fast things are tried again.
type pace struct {
	joinFirst, joinLast time.Duration
	// check is how often certificates that live so long are looked at; renewals
	// that fail are tried again after first and then at most after last, and
	// both are never above check.
	check       func(life time.Duration) time.Duration
	first, last time.Duration
}

var defaultPace = pace{
	joinFirst: 500 * time.Millisecond, joinLast: 8 * time.Second,
	check: pki.CheckEvery, first: 5 * time.Second, last: time.Hour,
}

// New returns the node's enrolment. Nothing is read or started.
func New(config Config, log *slog.Logger) (*Enroll, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Report == nil {
		config.Report = func(error) {}
	}
	if config.Learn == nil {
		config.Learn = func(time.Time) {}
	}
	return &Enroll{config: config, files: NewFiles(config.Layout), log: log, pace: defaultPace, wake: make(chan struct{}, 1), asked: make(chan *asked)}, nil
}

// Component returns the part that joins before anything runs and renews while
// running.
func (e *Enroll) Component(needs ...string) lifecycle.Component {
	return lifecycle.Component{
		Name: ComponentName, Needs: needs,
		Prepare: e.Join,
		Run: func(ctx context.Context, ready func()) error {
			ready()
			e.keepRenewed(ctx)
			return nil
		},
	}
}

// Identity returns who the node is. It panics before [Enroll.Join] has
// succeeded: whoever needs it must need the component.
func (e *Enroll) Identity() Identity {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.identity == nil {
		panic("enroll: identity asked for before the node has joined")
	}
	return *e.identity
}

// TLS returns the node's side of connections to its servers: it verifies the
// server by the authorities that the node trusts now and presents the node's
// present certificate, read again for each handshake so that renewal is taken up.
func (e *Enroll) TLS() *tls.Config {
	config := pki.ServerTLS(pki.Pool(e.trusted()...), e.config.Now)
	verify := config.VerifyConnection
	config.VerifyConnection = func(state tls.ConnectionState) error {
		err := verify(state)
		if hasEnded(err) {
			// Either its certificate has ended or this machine's clock is wrong.
			e.timed.Store(false)
			e.look()
		}
		return err
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(e.files.KubeletClientCert, e.files.KubeletClientKey)
		if err != nil {
			return nil, fmt.Errorf("read the node's certificate: %w", err)
		}
		return &pair, nil
	}
	return config
}

func (e *Enroll) trusted() []*x509.Certificate {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.authorities) == 0 {
		panic("enroll: authorities asked for before the node has joined")
	}
	return e.authorities
}

// Join makes the node's identity ready: from disk when it is there, else by
// asking the server. Certificates that have ended are no reason to wait for a
// server: they are renewed while the node runs. It may be repeated.
func (e *Enroll) Join(ctx context.Context) error {
	id, err := load(e.files)
	switch {
	case err == nil:
		if err := e.checkSame(id.record); err != nil {
			return err
		}
		e.adopt(id)
		if e.config.Issue == nil {
			if err := e.follow(ctx, id.record); err != nil {
				return err
			}
			return e.writeKubeconfigs()
		}
		if _, end := span(id.certs); e.config.Now().Before(end) && e.authoritiesUnchanged() {
			return e.writeKubeconfigs()
		}
		e.log.Info("joining again, because certificates or authorities have ended")
	case !errors.Is(err, errNotEnrolled):
		return err
	}
	if e.config.Issue != nil {
		return e.issueLocally(ctx, false)
	}
	return e.firstJoin(ctx)
}

// checkSame refuses to turn a node into another one by accident.
func (e *Enroll) checkSame(record *Record) error {
	if record.Node != e.config.NodeName {
		return fmt.Errorf("this data directory belongs to node %q, not %q: start with --node-name %s, or begin again with: kedge reset", record.Node, e.config.NodeName, record.Node)
	}
	return nil
}

// follow joins again where the token names an authority that the node was never
// told of. The authorities may have been replaced while it was off, and then its
// servers know the machine; or the token is another cluster's, and theirs do not. A
// server that does not answer is no reason to wait long: see [Enroll.renew].
func (e *Enroll) follow(ctx context.Context, record *Record) error {
	token, foreign, err := e.foreignToken(record)
	if err != nil || !foreign {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err = (&attempt{enroll: e, token: token, again: true}).try(ctx)
	switch {
	case err == nil:
		e.log.Info("joined again with a token that names another authority", "former", record.Pin, "authority", token.Pin)
		return e.reload()
	case isPermanent(err):
		return fmt.Errorf("this node has joined the cluster with CA %s, but the token is for %s, and that server says: %w: remove the token, or begin again with: kedge reset", record.Pin, token.Pin, err)
	}
	e.log.Warn("the token names an authority that this node does not know, and no server answers; going on with what it has", "authority", token.Pin, "error", err)
	return nil
}

// foreignToken returns the token, and whether it names an authority that the node
// was never told of.
func (e *Enroll) foreignToken(record *Record) (token wire.Token, foreign bool, err error) {
	if e.config.Issue != nil || e.config.Token == "" {
		return wire.Token{}, false, nil
	}
	token, err = wire.ParseToken(e.config.Token)
	return token, err == nil && !record.knows(token.Pin), err
}

// authoritiesUnchanged is false on a server whose authorities are others than
// those that its node has.
func (e *Enroll) authoritiesUnchanged() bool {
	now, err := pki.ReadCerts(e.config.ServerCA)
	return err == nil && slices.EqualFunc(now, e.trusted(), (*x509.Certificate).Equal)
}

func (e *Enroll) adopt(id *onDisk) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.identity = &Identity{Node: id.record.Node, Files: e.files, Cluster: id.record.Cluster, Pin: pki.PinOf(id.authorities[0])}
	e.authorities, e.certs = id.authorities, id.certs
	e.addressesChanged = !sameAddresses(id.record.NodeIPs, e.config.NodeIPs)
	_, e.following, _ = e.foreignToken(id.record)
}

// reload adopts what save has written.
func (e *Enroll) reload() error {
	id, err := load(e.files)
	if err != nil {
		return err
	}
	e.adopt(id)
	return nil
}

func (e *Enroll) issueLocally(ctx context.Context, newKeys bool) error {
	authorities, err := pki.ReadCerts(e.config.ServerCA)
	if err != nil {
		return err
	}
	k, err := prepareKeys(e.files, newKeys)
	if err != nil {
		return err
	}
	request, err := k.request(e.config.NodeName, e.config.NodeIPs, authorities)
	if err != nil {
		return err
	}
	response, err := e.config.Issue(ctx, request)
	if err != nil {
		return fmt.Errorf("issue certificates for the server's own node: %w", err)
	}
	if err := e.save(k, authorities, response); err != nil {
		return err
	}
	return e.reload()
}

// firstJoin tries until the server has answered for good or time is up.
func (e *Enroll) firstJoin(ctx context.Context) error {
	if e.config.Token == "" {
		return errors.New("this node has not joined a cluster yet and has no token: make one on the server with kedge token create, and give it as KEDGE_TOKEN or --token-file")
	}
	token, err := wire.ParseToken(e.config.Token)
	if err != nil {
		return err
	}
	limit := e.config.joinTimeout()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	attempt := &attempt{enroll: e, token: token}
	unreachable := false
	var last error
	for delay := e.pace.joinFirst; ; delay = min(2*delay, e.pace.joinLast) {
		err := attempt.try(ctx)
		if err == nil {
			e.log.Info("joined", "node", e.config.NodeName, "server", e.config.Server)
			return e.reload()
		}
		if isPermanent(err) {
			attempt.undo()
			return fmt.Errorf("join as %q: %w", e.config.NodeName, err)
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		if !unreachable && ctx.Err() == nil {
			unreachable = true
			e.log.Warn("cannot join yet, trying again", "server", e.config.Server, "for", limit, "error", err)
		}
		if !lifecycle.Pause(ctx, delay/4+rand.N(delay)) {
			break
		}
	}
	attempt.undo()
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("join %s: %w", e.config.Server, ctx.Err())
	}
	return fmt.Errorf("join %s: no success within %s, last: %w: check that the server runs, that --server is right, and that this machine may reach it (curl -k %s%s)", e.config.Server, limit, last, e.config.Server, wire.PathPing)
}

// attempt is one first join, however often it is tried.
type attempt struct {
	enroll *Enroll
	token  wire.Token
	keys   *keys
	ca     *x509.Certificate
	// again asks for what the machine has already; see [wire.QueryAgain].
	again bool
	// madeDevice says that the device key on disk is ours to remove, until an
	// unanswered request might have told the server about it.
	madeDevice bool
}

func (a *attempt) try(ctx context.Context) error {
	e := a.enroll
	var err error
	if a.ca == nil {
		if a.ca, err = e.config.fetchCA(ctx, a.token.Pin); err != nil {
			a.ca = nil
			return err
		}
	}
	// A server of the first version tells no time; then this machine's clock
	// counts.
	if err := e.learnTime(ctx, []*x509.Certificate{a.ca}); err != nil {
		e.log.Debug("the server's time is not known", "error", err)
	}
	if a.keys == nil {
		if err := a.prepare(); err != nil {
			return &permanentError{err}
		}
	}
	request, err := a.keys.request(e.config.NodeName, e.config.NodeIPs, []*x509.Certificate{a.ca})
	if err != nil {
		return &permanentError{err}
	}
	client := e.config.newClient(pki.ServerTLS(pki.Pool(a.ca), e.config.Now), e.config.Now)
	defer client.closer()
	path := wire.PathJoin
	if a.again {
		path += "?" + wire.QueryAgain + "=true"
	}
	response, err := client.post(ctx, path, a.token.Bearer(), request)
	if err != nil {
		if errors.Is(err, errUnanswered) {
			a.madeDevice = false
		}
		return err
	}
	a.madeDevice = false
	if err := e.save(a.keys, []*x509.Certificate{a.ca}, response); err != nil {
		return &permanentError{err}
	}
	return nil
}

// prepare puts the device key on disk before the server hears of it: if the
// answer is lost, the node must come back as the same device.
func (a *attempt) prepare() error {
	f := a.enroll.files
	k, err := prepareKeys(f, false)
	if err != nil {
		return err
	}
	if _, err := os.Stat(f.DeviceKey); err != nil {
		if err := makePrivate(a.enroll.config.Layout.AgentTLS()); err != nil {
			return err
		}
		if err := pki.WriteKey(f.DeviceKey, k.device); err != nil {
			return err
		}
		a.madeDevice = true
	}
	a.keys = k
	return nil
}

// undo removes what a refused join has made.
func (a *attempt) undo() {
	if !a.madeDevice {
		return
	}
	_ = os.Remove(a.enroll.files.DeviceKey)
	// Folders that something else uses are not empty and stay.
	_ = os.Remove(a.enroll.config.Layout.AgentTLS())
	_ = os.Remove(a.enroll.config.Layout.Agent())
}
