package transport

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kedge-io/kedge/tunnel"
)

// Version is the protocol version that this package speaks: the frames of
// frame.go on remotedialer's streams.
const Version = 1

// Headers of the handshake. The node names the versions that it speaks, best
// first; the server answers with the one it chose.
const (
	headerVersions     = "Kedge-Tunnel-Versions"
	headerVersion      = "Kedge-Tunnel-Version"
	headerCapabilities = "Kedge-Tunnel-Capabilities"
	headerSoftware     = "Kedge-Tunnel-Software"
	headerRefusal      = "Kedge-Tunnel-Refusal"
)

// maxHello bounds each text that the other end says of itself, in bytes.
const maxHello = 256

// Hello is what an end says of itself. None of it is trusted.
type Hello struct {
	// Version is the protocol version that was agreed on.
	Version int
	// Capabilities are words for optional features; unknown ones are ignored.
	Capabilities []string
	// Software is the kedge version of the other end, for people.
	Software string
}

func (h Hello) write(header http.Header) {
	if len(h.Capabilities) > 0 {
		header.Set(headerCapabilities, strings.Join(h.Capabilities, ", "))
	}
	if h.Software != "" {
		header.Set(headerSoftware, h.Software)
	}
}

func readHello(header http.Header, version int) Hello {
	h := Hello{Version: version, Software: printable(header.Get(headerSoftware))}
	for word := range strings.SplitSeq(printable(header.Get(headerCapabilities)), ",") {
		if word = strings.TrimSpace(word); word != "" {
			h.Capabilities = append(h.Capabilities, word)
		}
	}
	return h
}

func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	return s[:min(len(s), maxHello)]
}

// agree checks that the other end speaks our version.
func agree(header http.Header) error {
	offered := printable(header.Get(headerVersions))
	words := strings.Split(strings.ReplaceAll(offered, " ", ""), ",")
	if slices.Contains(words, strconv.Itoa(Version)) {
		return nil
	}
	return &tunnel.RefusedError{
		What: "tunnel", Kind: tunnel.RefusedVersion,
		Reason: fmt.Sprintf("the node offers tunnel versions %q and this server speaks %d: "+
			"install the same kedge version on both", offered, Version),
	}
}

var statusOf = map[tunnel.Refusal]int{
	tunnel.RefusedIdentity: http.StatusUnauthorized,
	tunnel.RefusedVersion:  http.StatusUpgradeRequired,
	tunnel.RefusedOverload: http.StatusServiceUnavailable,
	tunnel.RefusedProtocol: http.StatusBadRequest,
	tunnel.RefusedAccess:   http.StatusForbidden,
}

// Refuse answers a handshake with no. The node gets the reason as a
// *tunnel.RefusedError of the same kind.
func Refuse(w http.ResponseWriter, kind tunnel.Refusal, reason string) {
	status, ok := statusOf[kind]
	if !ok {
		status = http.StatusForbidden
	}
	w.Header().Set(headerRefusal, string(kind))
	w.Header().Set(headerVersions, strconv.Itoa(Version))
	http.Error(w, reason, status)
}

// RefuseFor is Refuse of a server that is busy: the node should come back after
// about that time.
func RefuseFor(w http.ResponseWriter, after time.Duration, reason string) {
	w.Header().Set("Retry-After", strconv.Itoa(int(max(after, time.Second)/time.Second)))
	Refuse(w, tunnel.RefusedOverload, reason)
}

// maxRetryAfter bounds what a server may ask for.
const maxRetryAfter = 2 * time.Minute

func retryAfter(header http.Header) time.Duration {
	seconds, err := strconv.ParseUint(header.Get("Retry-After"), 10, 16)
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, maxRetryAfter)
}

func refuseWith(w http.ResponseWriter, err error) {
	var refused *tunnel.RefusedError
	if errors.As(err, &refused) {
		Refuse(w, refused.Kind, refused.Reason)
		return
	}
	Refuse(w, tunnel.RefusedProtocol, err.Error())
}

// refusedHandshake reads the answer of a server that did not upgrade.
func refusedHandshake(url string, resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxReason))
	reason := strings.TrimSpace(string(body))
	kind := tunnel.Refusal(printable(resp.Header.Get(headerRefusal)))
	switch {
	case kind != "":
	case resp.StatusCode == http.StatusServiceUnavailable || resp.StatusCode == http.StatusTooManyRequests:
		// A proxy, or a part of the server in front of the hub.
		kind = tunnel.RefusedOverload
	default:
		kind = tunnel.RefusedProtocol
		reason = fmt.Sprintf("status %s from something that is not a kedge server of this version: %s", resp.Status, reason)
	}
	return &tunnel.RefusedError{
		What: "tunnel to " + url, Kind: kind, Reason: reason, RetryAfter: retryAfter(resp.Header),
	}
}
