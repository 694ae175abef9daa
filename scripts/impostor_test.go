//go:build namespace

package scripts_test

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"io"
	"net"
	"testing"
)

// impostors are answers of /cacerts that are not the authority which the token
// names, though some hold the bytes of its key.
func impostors(t *testing.T, b *bed) map[string][]byte {
	t.Helper()
	key := b.ca.RawSubjectPublicKeyInfo
	evil, _ := authority(t, pkix.Name{CommonName: "kedge-server-ca"})
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	name := element(0x30, element(0x31, element(0x30, []byte{6, 3, 0x55, 4, 3}, element(4, key))))
	// To a reader that takes an indefinite length for none, the name's second part
	// is where the key stands.
	open := append([]byte{0x30, 0x80}, append(append(element(0x30), element(0x30)...), append(key[:len(key):len(key)], 0, 0)...)...)
	return map[string][]byte{
		"another key":                   encode(evil),
		"the key in another one's name": block("CERTIFICATE", withIssuer(t, evil.Raw, name)),
		"a name of indefinite length":   block("CERTIFICATE", withIssuer(t, evil.Raw, open)),
		"the key alone":                 block("CERTIFICATE", key),
		"cut off":                       block("CERTIFICATE", b.ca.Raw[:len(b.ca.Raw)-1]),
		"with more behind it":           block("CERTIFICATE", append(b.ca.Raw[:len(b.ca.Raw):len(b.ca.Raw)], evil.Raw...)),
		"a trusted certificate":         block("TRUSTED CERTIFICATE", b.ca.Raw),
		"no certificate":                []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
		"a command":                     []byte("-----BEGIN CERTIFICATE-----\n$(touch /root/owned)\n-----END CERTIFICATE-----\n"),
		"nothing":                       []byte("\n"),
	}
}

// element is one of DER (X.690).
func element(tag byte, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	head := []byte{tag, byte(len(body))}
	if len(body) > 127 {
		head = []byte{tag, 0x82, byte(len(body) >> 8), byte(len(body))}
	}
	return append(head, body...)
}

// withIssuer is a certificate with another issuer; nobody has signed that.
func withIssuer(t *testing.T, der, issuer []byte) []byte {
	t.Helper()
	var cert struct{ TBS, Algorithm, Signature asn1.RawValue }
	_, err := asn1.Unmarshal(der, &cert)
	must(t, err)
	var fields []byte
	rest := cert.TBS.Bytes
	for i := 0; len(rest) > 0; i++ {
		var field asn1.RawValue
		rest, err = asn1.Unmarshal(rest, &field)
		must(t, err)
		if i == 3 { // version, serial number, algorithm, issuer
			field.FullBytes = issuer
		}
		fields = append(fields, field.FullBytes...)
	}
	return element(0x30, element(0x30, fields), cert.Algorithm.FullBytes, cert.Signature.FullBytes)
}

// forward takes connections at one address to another.
func forward(t *testing.T, from, to string) {
	t.Helper()
	l, err := net.Listen("tcp", from)
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
			go func() { _, _ = io.Copy(in, out); _ = in.Close() }()
		}
	}()
}
