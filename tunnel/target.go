package tunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
)

// NetworkTCP is the network of every target that is a TCP address of the node.
const NetworkTCP = "tcp"

// NetworkInternal is the network of targets that the node's end answers by
// itself, without any connection of its own.
const NetworkInternal = "kedge"

// TargetProof asks the node's end to return what it gets: the proof that a
// dial through the link works.
var TargetProof = Target{Network: NetworkInternal, Address: "proof"}

// Targets of measurements, which a node answers by itself: what is sent comes
// back, is thrown away, or zeroes come until the stream is closed.
var (
	TargetEcho   = Target{Network: NetworkInternal, Address: "echo"}
	TargetSink   = Target{Network: NetworkInternal, Address: "sink"}
	TargetSource = Target{Network: NetworkInternal, Address: "source"}
)

// TargetStatus speaks HTTP with what a node lets its server see of itself.
var TargetStatus = Target{Network: NetworkInternal, Address: "status"}

// TargetFirewall is the stream of the edge firewall: the server says what is to
// be enforced, the node what became of it. It is on the control lane for as long
// as the session lasts.
var TargetFirewall = Target{Network: NetworkInternal, Address: "firewall"}

// TargetWant asks the node's end for one more lane of a class. It accepts, with
// a stream that carries nothing, and opens the lane when it can.
func TargetWant(class Lane) Target {
	return Target{Network: NetworkInternal, Address: "want/" + string(class)}
}

// maxTarget bounds the text of a target on the wire, in bytes.
const maxTarget = 255

// Target is what a server asks a node to dial.
type Target struct {
	// Network is NetworkTCP or NetworkInternal.
	Network string
	// Address is host:port with the host as an IP address.
	Address string
}

// String returns network and address with a slash between.
func (t Target) String() string { return t.Network + "/" + t.Address }

// Validate checks the form of the target, not whether it may be dialled.
func (t Target) Validate() error {
	switch {
	case t.Network == "" || t.Address == "":
		return errors.New("dial target lacks a network or an address")
	case strings.ContainsAny(t.Network, "/:"):
		return fmt.Errorf("dial target has network %q, want %q", t.Network, NetworkTCP)
	case len(t.Network)+1+len(t.Address) > maxTarget:
		return fmt.Errorf("dial target is longer than %d bytes", maxTarget)
	}
	return nil
}

// DialFunc makes one connection. It returns when the other end has accepted
// or refused, or when ctx ends.
type DialFunc func(ctx context.Context, t Target) (net.Conn, error)

// State is where the link of a node is in its life.
type State string

// The states of a link. A link goes from connecting to proving to ready; any
// trouble leads to waiting (for the next attempt) and back to connecting.
const (
	StateConnecting State = "connecting"
	StateProving    State = "proving"
	StateReady      State = "ready"
	StateWaiting    State = "waiting"
	StateStopped    State = "stopped"
)

// The proof: the server sends ProofSize random bytes on a stream to
// TargetProof, the node returns them, and when the server has made the session
// the node's one, it sends the byte ProofAdmitted. If both ends have lanes, the
// grant for opening them follows (see tunnel/transport).
const (
	ProofSize          = 32
	ProofAdmitted byte = 1
)
