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

	mu               sync.Mutex
	identity         *Identity
	serverCA         *x509.Certificate
	certs            []*x509.Certificate
	addressesChanged bool
	floor            atomic.Pointer[time.Time]
}

// pace holds how fast things are tried again.
type pace struct {
	joinFirst, joinLast   time.Duration
	renewCheck            time.Duration
	renewFirst, renewLast time.Duration
}

var defaultPace = pace{
	joinFirst: 500 * time.Millisecond, joinLast: 8 * time.Second,
	renewCheck: 6 * time.Hour,
	renewFirst: time.Minute, renewLast: time.Hour,
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
	return &Enroll{config: config, files: NewFiles(config.Layout), log: log, pace: defaultPace}, nil
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
// server by the pinned authority and presents the node's present certificate,
// read again for each handshake so that renewal is taken up.
func (e *Enroll) TLS() *tls.Config {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.serverCA == nil {
		panic("enroll: TLS asked for before the node has joined")
	}
	config := pki.ServerTLS(pki.Pool(e.serverCA), e.now)
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(e.files.KubeletClientCert, e.files.KubeletClientKey)
		if err != nil {
			return nil, fmt.Errorf("read the node's certificate: %w", err)
		}
		return &pair, nil
	}
	return config
}

// now is the machine's clock, but never before the node's newest certificate:
// a board without a battery wakes up in the past and must still get going.
func (e *Enroll) now() time.Time {
	now := e.config.Now()
	if floor := e.floor.Load(); floor != nil && floor.After(now) {
		return *floor
	}
	return now
}

// Join makes the node's identity ready: from disk when it is there and good,
// else by asking the server. It may be repeated.
func (e *Enroll) Join(ctx context.Context) error {
	record, serverCA, certs, err := load(e.files)
	switch {
	case err == nil:
		if err := e.checkSame(record); err != nil {
			return err
		}
		e.adopt(record, serverCA, certs)
		if _, end := span(certs); e.now().Before(end) && e.authorityUnchanged(serverCA) {
			// In this order: a clock that is right only moves on in between.
			now := e.now()
			if clock := e.config.Now(); clock.Before(now) {
				e.log.Warn("clock is behind the node's own certificates", "clock", clock, "issued", now)
			}
			return e.writeKubeconfigs()
		}
		e.log.Info("joining again, because the node's certificates have ended")
	case !errors.Is(err, errNotEnrolled):
		return err
	}
	if err := pki.CheckClock(e.now(), e.config.Built); err != nil {
		return err
	}
	if e.config.Issue != nil {
		return e.issueLocally(ctx)
	}
	return e.firstJoin(ctx)
}

// checkSame refuses to turn a node into another one by accident.
func (e *Enroll) checkSame(record *Record) error {
	if record.Node != e.config.NodeName {
		return fmt.Errorf("this data directory belongs to node %q, not %q: start with --node-name %s, or begin again with: kedge reset", record.Node, e.config.NodeName, record.Node)
	}
	if e.config.Issue != nil || e.config.Token == "" {
		return nil
	}
	token, err := wire.ParseToken(e.config.Token)
	if err == nil && token.Pin.String() != record.Pin {
		return fmt.Errorf("this node has joined the cluster with CA %s, but the token is for %s: remove the token, or begin again with: kedge reset", record.Pin, token.Pin)
	}
	return err
}

// authorityUnchanged is false on a server whose authorities were made anew
// while its node's folder stayed.
func (e *Enroll) authorityUnchanged(serverCA *x509.Certificate) bool {
	if e.config.Issue == nil {
		return true
	}
	ca, err := pki.ReadCert(e.config.ServerCA)
	return err == nil && ca.Equal(serverCA)
}

func (e *Enroll) adopt(record *Record, serverCA *x509.Certificate, certs []*x509.Certificate) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.identity = &Identity{Node: record.Node, Files: e.files, Cluster: record.Cluster, Pin: pki.PinOf(serverCA)}
	e.serverCA, e.certs = serverCA, certs
	e.addressesChanged = !sameAddresses(record.NodeIPs, e.config.NodeIPs)
	floor := certs[0].NotBefore
	for _, cert := range certs {
		if cert.NotBefore.After(floor) {
			floor = cert.NotBefore
		}
	}
	e.floor.Store(&floor)
}

// reload adopts what save has written.
func (e *Enroll) reload() error {
	record, serverCA, certs, err := load(e.files)
	if err != nil {
		return err
	}
	e.adopt(record, serverCA, certs)
	return nil
}

func (e *Enroll) issueLocally(ctx context.Context) error {
	serverCA, err := pki.ReadCert(e.config.ServerCA)
	if err != nil {
		return err
	}
	k, err := prepareKeys(e.files)
	if err != nil {
		return err
	}
	request, err := k.request(e.config.NodeName, e.config.NodeIPs, pki.PinOf(serverCA))
	if err != nil {
		return err
	}
	response, err := e.config.Issue(ctx, request)
	if err != nil {
		return fmt.Errorf("issue certificates for the server's own node: %w", err)
	}
	if err := e.save(k, serverCA, response); err != nil {
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
	date   string // of the server, when it sent ca
	// madeDevice says that the device key on disk is ours to remove, until an
	// unanswered request might have told the server about it.
	madeDevice bool
}

func (a *attempt) try(ctx context.Context) error {
	e := a.enroll
	var err error
	if a.ca == nil {
		if a.ca, a.date, err = e.config.fetchCA(ctx, a.token.Pin, e.now); err != nil {
			a.ca = nil
			return err
		}
	}
	if a.keys == nil {
		if err := a.prepare(); err != nil {
			return &permanentError{err}
		}
	}
	request, err := a.keys.request(e.config.NodeName, e.config.NodeIPs, a.token.Pin)
	if err != nil {
		return &permanentError{err}
	}
	client := e.config.newClient(pki.ServerTLS(pki.Pool(a.ca), e.now), e.now)
	client.date = a.date
	defer client.closer()
	response, err := client.post(ctx, wire.PathJoin, a.token.Bearer(), request)
	if err != nil {
		if errors.Is(err, errUnanswered) {
			a.madeDevice = false
		}
		return err
	}
	a.madeDevice = false
	if err := e.save(a.keys, a.ca, response); err != nil {
		return &permanentError{err}
	}
	return nil
}

// prepare puts the device key on disk before the server hears of it: if the
// answer is lost, the node must come back as the same device.
func (a *attempt) prepare() error {
	f := a.enroll.files
	k, err := prepareKeys(f)
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
