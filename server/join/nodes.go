package join

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"

	"github.com/kedge-io/kedge/internal/wire"
)

const (
	// NodeType is the type of Secrets that record which device holds a node name.
	NodeType corev1.SecretType = "kedge.io/node"

	nodePrefix = "kedge-node-"
	nodeRecord = "node"

	keyDevice, keyFormer = "device", "former"
	keyRevoked           = "revoked"
	keyFrom, keyJoined   = "from", "joined"
	keyTrusts, keyIssuer = "trusts", "issuer"
	keyChanged           = "changed"

	// maxFormer bounds how often a name can be given to another machine. None of
	// those that lost it may be forgotten, and their record is below 1 MiB.
	maxFormer = 8192
)

// ErrNoClaim tells that no device holds a node name.
var ErrNoClaim = errors.New("no machine holds this node name")

// Claim says which device holds a node name.
type Claim struct {
	Node string
	// Device is the SHA-256 of the device's public key; zero after
	// [Nodes.Replace], until the next machine joins.
	Device wire.Pin
	// Former devices held the name before and have lost every right.
	Former []wire.Pin
	// Revoked devices are refused until a person allows them again, whatever name
	// they ask for and whatever token they have.
	Revoked []wire.Pin
	// Changed is when the name changed hands last, in whole seconds; zero if that was
	// never noted.
	Changed time.Time
	// Trusts are the pins of the server authorities that the node said it trusts
	// when it was certified last, and Issuer that of the authority that had signed
	// the certificate with which it asked for that; zero after a join.
	Trusts []wire.Pin
	Issuer wire.Pin
	// From is where the device came from when it joined last, and Joined when
	// that was; zero once it has registered, and if that was never noted.
	From   netip.Addr
	Joined time.Time
}

// Nodes is the store of claims. It is safe for concurrent use, also by several
// processes.
type Nodes struct {
	client kubernetes.Interface
	now    func() time.Time
}

// NewNodes returns the store behind client.
func NewNodes(client kubernetes.Interface) *Nodes { return &Nodes{client: client, now: time.Now} }

// Get returns the claim of a node name, or [ErrNoClaim].
func (n *Nodes) Get(ctx context.Context, node string) (Claim, error) {
	stored, err := n.client.CoreV1().Secrets(Namespace).Get(ctx, nodePrefix+node, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return Claim{}, ErrNoClaim
	}
	if err != nil {
		return Claim{}, fmt.Errorf("read claim of node %s: %w", node, err)
	}
	return parseClaim(stored)
}

// Take records device as the holder of node when nobody holds it. It gives a
// [*wire.Refusal] when another device does, and nil when device does already.
func (n *Nodes) Take(ctx context.Context, node string, device wire.Pin) error {
	return n.set(ctx, node, func(claim *Claim) error {
		if claim.Device != (wire.Pin{}) && claim.Device != device {
			return taken(node)
		}
		claim.hold(device, n.now())
		return nil
	})
}

// Renewed is Take, and notes by whom the node is certified and whom it trusts.
func (n *Nodes) Renewed(ctx context.Context, node string, device wire.Pin, trusts []string, issuer wire.Pin) error {
	return n.set(ctx, node, func(claim *Claim) error {
		if claim.Device != (wire.Pin{}) && claim.Device != device {
			return taken(node)
		}
		claim.hold(device, n.now())
		claim.Issuer, claim.Trusts = issuer, nil
		for _, text := range trusts {
			if pin, err := wire.ParsePin(text); err == nil {
				claim.Trusts = append(claim.Trusts, pin)
			}
		}
		return nil
	})
}

// Revoke shuts out the device that holds a name, and keeps the name for it. It
// gives [ErrNoClaim] when nobody holds it.
func (n *Nodes) Revoke(ctx context.Context, node string) error {
	claim, err := n.Get(ctx, node)
	if err == nil && claim.Device == (wire.Pin{}) {
		err = ErrNoClaim
	}
	if err != nil {
		return err
	}
	return n.set(ctx, node, func(claim *Claim) error {
		if !slices.Contains(claim.Revoked, claim.Device) {
			claim.Revoked = append(claim.Revoked, claim.Device)
		}
		return nil
	})
}

// Allow lets all devices in again that were revoked under a name, and returns how
// many these are.
func (n *Nodes) Allow(ctx context.Context, node string) (count int, err error) {
	if _, err := n.Get(ctx, node); err != nil {
		return 0, err
	}
	err = n.set(ctx, node, func(claim *Claim) error {
		count, claim.Revoked = len(claim.Revoked), nil
		return nil
	})
	return count, err
}

// Joined notes that the machine that holds a name has just joined, and from where.
func (n *Nodes) Joined(ctx context.Context, node string, from netip.Addr) error {
	return n.set(ctx, node, func(claim *Claim) error {
		claim.From, claim.Joined = from, n.now()
		return nil
	})
}

// Settled forgets where a machine joined from: it has registered, and its link says
// where it is.
func (n *Nodes) Settled(ctx context.Context, node string) error {
	return n.set(ctx, node, func(claim *Claim) error {
		claim.From, claim.Joined = netip.Addr{}, time.Time{}
		return nil
	})
}

// Force records device as the holder of node, whoever held it: for the
// server's own node, whose data directory is proof enough. It returns the
// device that lost the name, if there was one.
func (n *Nodes) Force(ctx context.Context, node string, device wire.Pin) (lost wire.Pin, err error) {
	err = n.set(ctx, node, func(claim *Claim) error {
		lost = wire.Pin{}
		if claim.Device != device {
			lost = claim.release(n.now())
		}
		claim.hold(device, n.now())
		return nil
	})
	return lost, err
}

// Replace takes the name from the device that holds it, so that the next
// machine with a join token gets it. The device's certificates are refused
// from then on. The Node object, its labels and its pods stay: they are what
// the replacing machine takes over. It gives [ErrNoClaim] when nobody holds it.
func (n *Nodes) Replace(ctx context.Context, node string) error {
	if _, err := n.Get(ctx, node); err != nil {
		return err
	}
	return n.set(ctx, node, func(claim *Claim) error {
		if len(claim.Former) >= maxFormer {
			return fmt.Errorf("%d machines have lost this name already, and all of them have to be remembered: choose another --node-name for the new one", len(claim.Former))
		}
		claim.release(n.now())
		return nil
	})
}

func taken(node string) *wire.Refusal {
	return refuse(wire.CodeNodeNameTaken, "node name %q is held by another machine: choose another --node-name, or, when this machine replaces it, run on the server: kedge node replace %s", node, node)
}

func (c *Claim) hold(device wire.Pin, now time.Time) {
	if c.Device != device {
		c.Changed = now.UTC().Truncate(time.Second)
	}
	c.Device = device
	c.Former = slices.DeleteFunc(c.Former, func(former wire.Pin) bool { return former == device })
}

func (c *Claim) release(now time.Time) wire.Pin {
	device := c.Device
	if device != (wire.Pin{}) {
		c.Former = append(c.Former, device)
		c.Changed = now.UTC().Truncate(time.Second)
	}
	c.Device = wire.Pin{}
	return device
}

// Out says that the machine that holds the name is revoked.
func (c *Claim) Out() bool { return slices.Contains(c.Revoked, c.Device) }

// podsRefused says whether tokens of pods on the node are refused, because a machine
// of this name was revoked: those from before the time at which the name changed
// hands, or all of them, for a zero time, as long as it is that machine's.
func (c *Claim) podsRefused() (before time.Time, ok bool) {
	switch {
	case len(c.Revoked) == 0:
		return time.Time{}, false
	case c.Out():
		return time.Time{}, true
	case c.Changed.IsZero():
		// A record of a former version does not say it.
		return time.Time{}, c.Device == (wire.Pin{})
	}
	return c.Changed, true
}

// set changes a claim, making it when there is none, and starts again when
// somebody else changed it meanwhile.
func (n *Nodes) set(ctx context.Context, node string, change func(*Claim) error) error {
	if err := wire.CheckNodeName(node); err != nil {
		return err
	}
	secrets := n.client.CoreV1().Secrets(Namespace)
	raced := func(err error) bool { return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) }
	err := retry.OnError(contention, raced, func() error {
		stored, err := secrets.Get(ctx, nodePrefix+node, metav1.GetOptions{})
		found := err == nil
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		claim := Claim{Node: node}
		if found {
			if claim, err = parseClaim(stored); err != nil {
				return err
			}
		}
		before := claim.data(nil)
		if err := change(&claim); err != nil {
			return err
		}
		if !found {
			data := claim.data(map[string][]byte{keyCreated: []byte(n.now().UTC().Format(timeFormat))})
			_, err = secrets.Create(ctx, record(nodePrefix+node, nodeRecord, NodeType, data), metav1.CreateOptions{})
			return err
		}
		after := claim.data(nil)
		if maps.EqualFunc(before, after, bytes.Equal) {
			return nil
		}
		stored.Data = claim.data(stored.Data)
		_, err = secrets.Update(ctx, stored, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("record holder of node %s: %w", node, err)
	}
	return nil
}

func (c *Claim) data(into map[string][]byte) map[string][]byte {
	if into == nil {
		into = map[string][]byte{}
	}
	for _, key := range []string{keyDevice, keyRevoked, keyTrusts, keyIssuer, keyFrom, keyJoined, keyChanged} {
		delete(into, key)
	}
	if c.Device != (wire.Pin{}) {
		into[keyDevice] = []byte(c.Device.String())
	}
	into[keyFormer] = joinPins(c.Former)
	if len(c.Revoked) > 0 {
		into[keyRevoked] = joinPins(c.Revoked)
	}
	if len(c.Trusts) > 0 {
		into[keyTrusts] = joinPins(c.Trusts)
	}
	if c.Issuer != (wire.Pin{}) {
		into[keyIssuer] = []byte(c.Issuer.String())
	}
	if !c.Changed.IsZero() {
		into[keyChanged] = []byte(c.Changed.UTC().Format(timeFormat))
	}
	if c.From.IsValid() {
		into[keyFrom], into[keyJoined] = []byte(c.From.String()), []byte(c.Joined.UTC().Format(timeFormat))
	}
	return into
}

func joinPins(pins []wire.Pin) []byte {
	texts := make([]string, 0, len(pins))
	for _, pin := range pins {
		texts = append(texts, pin.String())
	}
	return []byte(strings.Join(texts, ","))
}

func splitPins(text []byte) (pins []wire.Pin, err error) {
	for word := range strings.SplitSeq(string(text), ",") {
		if word == "" {
			continue
		}
		pin, err := wire.ParsePin(word)
		if err != nil {
			return nil, err
		}
		pins = append(pins, pin)
	}
	return pins, nil
}

// readJoined reads what is good to know and decides nothing: what a person spoilt
// is as if it were not there.
func (c *Claim) readJoined(data map[string][]byte) {
	from, err := netip.ParseAddr(string(data[keyFrom]))
	joined, bad := time.Parse(timeFormat, string(data[keyJoined]))
	if err == nil && bad == nil {
		c.From, c.Joined = from, joined
	}
}

func parseClaim(stored *corev1.Secret) (Claim, error) {
	node, ok := strings.CutPrefix(stored.Name, nodePrefix)
	if !ok || stored.Type != NodeType {
		return Claim{}, fmt.Errorf("secret %s is not a claim of a node name", stored.Name)
	}
	claim := Claim{Node: node}
	var err error
	if text := string(stored.Data[keyDevice]); text != "" {
		if claim.Device, err = wire.ParsePin(text); err != nil {
			return Claim{}, fmt.Errorf("claim of node %s: device: %w", node, err)
		}
	}
	claim.readJoined(stored.Data)
	if claim.Former, err = splitPins(stored.Data[keyFormer]); err != nil {
		return Claim{}, fmt.Errorf("claim of node %s: former: %w", node, err)
	}
	if claim.Revoked, err = splitPins(stored.Data[keyRevoked]); err != nil {
		return Claim{}, fmt.Errorf("claim of node %s: revoked: %w", node, err)
	}
	claim.Changed, _ = time.Parse(timeFormat, string(stored.Data[keyChanged]))
	// These two are good to know and decide nothing here.
	claim.Trusts, _ = splitPins(stored.Data[keyTrusts])
	claim.Issuer, _ = wire.ParsePin(string(stored.Data[keyIssuer]))
	return claim, nil
}
