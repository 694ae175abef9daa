package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/kedge-io/kedge/edgefw/model"
)

// EncodeHost returns the canonical bytes of the host's rules.
func EncodeHost(rules model.HostRules) ([]byte, error) {
	return encodeRules("rules of the host", rules)
}

// EncodePods returns the canonical bytes of the pods' rules.
func EncodePods(rules model.PodRules) ([]byte, error) { return encodeRules("rules of pods", rules) }

// DecodeHost is the reverse of [EncodeHost]. Words that it does not know are an
// error.
func DecodeHost(body []byte) (rules model.HostRules, err error) {
	return rules, decodeRules("rules of the host", body, &rules)
}

// DecodePods is the reverse of [EncodePods].
func DecodePods(body []byte) (rules model.PodRules, err error) {
	return rules, decodeRules("rules of pods", body, &rules)
}

// encodeRules relies on what encoding/json promises: fields in their order,
// keys of maps sorted.
func encodeRules(what string, rules any) ([]byte, error) {
	body, err := json.Marshal(rules)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return body, checkRules(what, body)
}

// maxObjects bounds the rules and ranges of ports in one part. The shortest
// rule, "{},", is 3 bytes on the wire and about 160 in memory.
const maxObjects = 200_000

func checkRules(what string, body []byte) error {
	if len(body) > maxPartBody {
		return fmt.Errorf("%s have %d bytes, which is more than %d: write fewer rules, or address sets", what, len(body), maxPartBody)
	}
	if n := bytes.Count(body, []byte("{")); n > maxObjects {
		return fmt.Errorf("%s have %d rules and ranges of ports, which is more than %d", what, n, maxObjects)
	}
	return nil
}

func decodeRules(what string, body []byte, into any) error {
	if err := checkRules(what, body); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%s: %w (install the server's kedge version on this node)", what, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: something follows them", what)
	}
	return nil
}
