package registries

import (
	"log/slog"
	"net/url"
	"regexp"
)

// wildcard stands for every registry that is not named.
const wildcard = "*"

// Settings are what a registries.yaml says. They are not changed once parsed.
type Settings struct {
	// Mirrors has the other places of each registry by its name as in names of
	// images, for example "docker.io"; "*" for all that are not named.
	Mirrors map[string]Mirror
	// Hosts says how to talk to each host by HOST[:PORT]; "*" for all that are not
	// named, which has TLS only.
	Hosts map[string]Host
}

// Empty tells that nothing is set.
func (s Settings) Empty() bool { return len(s.Mirrors) == 0 && len(s.Hosts) == 0 }

// Mirror is where images of one registry are looked for first.
type Mirror struct {
	// Endpoints are tried in this order, before the registry itself.
	Endpoints []*url.URL
	// Rewrites change names of repositories for all Endpoints; the first that
	// matches counts.
	Rewrites []Rewrite
}

// Rewrite changes the name of a repository, the name of an image without registry
// and tag.
type Rewrite struct {
	Match   *regexp.Regexp
	Replace string // with $1 for the first group of Match
}

// Host is how to talk to one host.
type Host struct {
	Auth Auth
	TLS  TLS
}

// Auth is who to be at a registry. Its zero value is nobody.
type Auth struct {
	Username string
	Password Secret
	// IdentityToken is exchanged for access at the registry's token server; it
	// counts instead of name and password.
	IdentityToken Secret
}

// Empty tells that a is nobody.
func (a Auth) Empty() bool { return a == Auth{} }

// TLS is whom to trust as a registry, and how to prove who one is.
type TLS struct {
	// CAFile has certificates to trust besides the host's; Cert- and KeyFile are a
	// client's certificate. All are absolute paths of PEM files.
	CAFile, CertFile, KeyFile string
	// Insecure believes any certificate.
	Insecure bool
}

// Empty tells that nothing is set.
func (t TLS) Empty() bool { return t == TLS{} }

// files are those that are set.
func (t TLS) files() []string {
	var out []string
	for _, f := range []string{t.CAFile, t.CertFile, t.KeyFile} {
		if f != "" {
			out = append(out, f)
		}
	}
	return out
}

// Secret is a text that is never printed.
type Secret string

const masked = "********"

// String masks s.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return masked
}

// GoString masks s in %#v.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// LogValue masks s in logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText masks s in JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
