package certs

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"

	"github.com/kedge-io/kedge/internal/fsx"
)

// secretbox (XSalsa20 and Poly1305) is authenticated and needs no key rotation
// by volume; aescbc is open to padding oracles and aesgcm limits the writes per
// key. The identity provider comes last so that it is only ever read, which
// lets a datastore that was filled without encryption be migrated.
const encryptionTemplate = `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources:
  - secrets
  providers:
  - secretbox:
      keys:
      - name: kedge-1
        secret: %s
  - identity: {}
`

const encryptionKeySize = 32 // bytes, the key of XSalsa20

// validDNS accepts what --tls-san may name: a DNS name, or one wildcard label
// followed by a name.
func validDNS(name string) bool { return len(name) <= 253 && dnsPattern.MatchString(name) }

var dnsPattern = regexp.MustCompile(`^(\*\.)?[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?)*$`)

// encryption makes the encryption configuration once and never changes it: a
// person may have rotated its keys.
func (m *maker) encryption() error {
	path := m.paths.EncryptionConfig
	st, err := os.Stat(path)
	switch {
	case err == nil && st.Mode().Perm()&0o077 != 0:
		return os.Chmod(path, 0o600)
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("read encryption configuration: %w", err)
	}
	key := make([]byte, encryptionKeySize)
	if _, err := rand.Read(key); err != nil {
		return fmt.Errorf("make encryption key: %w", err)
	}
	text := fmt.Sprintf(encryptionTemplate, base64.StdEncoding.EncodeToString(key))
	return fsx.WriteFile(path, []byte(text), 0o600)
}
