package protocol

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/kedge-io/kedge/edgefw/model"
)

// The first byte of a set: what it has.
const (
	setPrefixes byte = 'a'
	setName     byte = 'n'
	setPods     byte = 'u'
)

const (
	// size4 and size6 are the bytes of one prefix: address and length.
	size4, size6 = 4 + 1, 16 + 1
	// maxName bounds a DNS name (RFC 1035) and the UID of a pod, in bytes.
	maxName = 253
)

var errSet = errors.New("a set that is not canonical")

// EncodeSet returns the canonical bytes of a set: its kind, and then
//   - prefixes: how many there are of IPv4 and of IPv6 (four bytes each, big
//     endian), and each with its address and one byte of length;
//   - a DNS name as it is;
//   - pods: each UID behind a byte with its length.
//
// A set whose prefixes or pods are not sorted and disjoint is an error.
func EncodeSet(set model.Set) ([]byte, error) {
	var body []byte
	switch {
	case set.Name != "" && len(set.Prefixes)+len(set.Pods) > 0, len(set.Prefixes) > 0 && len(set.Pods) > 0:
		return nil, fmt.Errorf("%w: it has prefixes, a name or pods at the same time", errSet)
	case set.Name != "":
		if err := checkName(set.Name); err != nil {
			return nil, err
		}
		body = append([]byte{setName}, set.Name...)
	case len(set.Pods) > 0:
		return encodePodSet(set.Pods)
	default:
		if err := checkPrefixes(set.Prefixes); err != nil {
			return nil, err
		}
		body = appendPrefixes([]byte{setPrefixes}, set.Prefixes)
	}
	if len(body) > maxPartBody {
		return nil, fmt.Errorf("a set of %d bytes, which is more than %d", len(body), maxPartBody)
	}
	return body, nil
}

// DecodeSet is the reverse of [EncodeSet]. It takes canonical bytes only.
func DecodeSet(body []byte) (model.Set, error) {
	if len(body) == 0 {
		return model.Set{}, fmt.Errorf("%w: it is empty", errSet)
	}
	rest := body[1:]
	switch body[0] {
	case setName:
		return model.Set{Name: string(rest)}, checkName(string(rest))
	case setPods:
		pods, err := decodePodSet(rest)
		return model.Set{Pods: pods}, err
	case setPrefixes:
		prefixes, rest, err := takePrefixes(rest)
		if err == nil && len(rest) > 0 {
			err = fmt.Errorf("%w: %d bytes follow it", errSet, len(rest))
		}
		return model.Set{Prefixes: prefixes}, err
	}
	return model.Set{}, fmt.Errorf("%w: kind %q (install the server's kedge version on this node)", errSet, body[0])
}

func checkName(name string) error {
	if len(name) == 0 || len(name) > maxName || !utf8.ValidString(name) {
		return fmt.Errorf("%w: %.80q is no name", errSet, name)
	}
	return nil
}

func encodePodSet(pods []string) ([]byte, error) {
	body := []byte{setPods}
	for n, uid := range pods {
		if err := checkPod(pods[:n], uid); err != nil {
			return nil, err
		}
		body = append(append(body, byte(len(uid))), uid...)
	}
	return body, nil
}

func decodePodSet(b []byte) (pods []string, err error) {
	for len(b) > 0 {
		n := int(b[0])
		if len(b) < 1+n {
			return nil, fmt.Errorf("%w: a pod is cut off", errSet)
		}
		uid := string(b[1 : 1+n])
		if err := checkPod(pods, uid); err != nil {
			return nil, err
		}
		pods, b = append(pods, uid), b[1+n:]
	}
	if len(pods) == 0 {
		return nil, fmt.Errorf("%w: no pods", errSet)
	}
	return pods, nil
}

func checkPod(before []string, uid string) error {
	if err := checkName(uid); err != nil {
		return err
	}
	if n := len(before); n > 0 && before[n-1] >= uid {
		return fmt.Errorf("%w: pod %q comes after %q", errSet, uid, before[n-1])
	}
	return nil
}
