package registries

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

func (p *parser) mirrors(n *yaml.Node, into map[string]Mirror) {
	p.each(n, "mirrors", func(key, value *yaml.Node) {
		where := fmt.Sprintf("mirrors: %q", key.Value)
		if !p.registry(key, where) {
			return
		}
		if key.Value == dockerHost || key.Value == dockerAlias {
			p.fail(key, "%s: images of Docker's registry are called %s: write that", where, dockerName)
			return
		}
		var m Mirror
		p.mapping(value, where, map[string]func(*yaml.Node){
			"endpoint": func(n *yaml.Node) { m.Endpoints = p.endpoints(n, where+": endpoint") },
			"rewrite":  func(n *yaml.Node) { m.Rewrites = p.rewrites(n, where+": rewrite") },
		})
		into[key.Value] = m
	})
}

// registry looks whether key can be the name of a registry or host. Names become
// names of folders.
func (p *parser) registry(key *yaml.Node, where string) bool {
	if key.Value == wildcard || validHost(key.Value) {
		return true
	}
	hint := ""
	if u, err := url.Parse(key.Value); err == nil && validHost(u.Host) {
		hint = fmt.Sprintf(": write %q", u.Host)
	}
	if strings.Contains(key.Value, "@") {
		where = "a key (not shown, it may hold a password)"
	}
	p.fail(key, "%s is not the name of a registry, which is HOST or HOST:PORT%s", where, hint)
	return false
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$`)

func validHost(h string) bool {
	if strings.HasPrefix(h, "[") {
		host, _, err := net.SplitHostPort(h)
		if err != nil {
			host = strings.Trim(h, "[]")
		}
		return net.ParseIP(host) != nil
	}
	return hostName.MatchString(h)
}

func (p *parser) endpoints(n *yaml.Node, where string) []*url.URL {
	var out []*url.URL
	for _, item := range p.list(n, where) {
		text := p.text(item, where)
		if text == "" {
			continue
		}
		u, err := endpoint(text)
		if err != nil {
			p.fail(item, "%s: %w", where, err)
			continue
		}
		out = append(out, u)
	}
	return out
}

// endpoint reads HOST or a URL. Without a scheme, this machine is spoken to in
// plain HTTP and all others by HTTPS, as containerd does.
func endpoint(text string) (*url.URL, error) {
	if !strings.Contains(text, "://") {
		scheme := "https://"
		if host, _, _ := strings.Cut(text, "/"); isLoopback(host) {
			scheme = "http://"
		}
		text = scheme + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("not a URL such as https://mirror.example:5000")
	case u.User != nil:
		return nil, fmt.Errorf("%s: name and password belong below configs as auth of %q", u.Host, u.Host)
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("%q: the scheme must be https or http", text)
	case !validHost(u.Host):
		return nil, fmt.Errorf("%q has no host", text)
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("%q: nothing can follow the path", text)
	}
	return u, nil
}

func isLoopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return host == "localhost" || net.ParseIP(strings.Trim(host, "[]")).IsLoopback()
}

func (p *parser) rewrites(n *yaml.Node, where string) []Rewrite {
	var out []Rewrite
	p.each(n, where, func(key, value *yaml.Node) {
		match, err := regexp.Compile(key.Value)
		if err != nil {
			p.fail(key, "%s: %q is no regular expression: %w", where, key.Value, err)
			return
		}
		out = append(out, Rewrite{match, p.text(value, where)})
	})
	return out
}

func (p *parser) hosts(n *yaml.Node, into map[string]Host) {
	p.each(n, "configs", func(key, value *yaml.Node) {
		where := fmt.Sprintf("configs: %q", key.Value)
		if !p.registry(key, where) {
			return
		}
		var h Host
		p.mapping(value, where, map[string]func(*yaml.Node){
			"auth": func(n *yaml.Node) { h.Auth = p.auth(n, key.Value, where+": auth") },
			"tls":  func(n *yaml.Node) { h.TLS = p.tls(n, where+": tls") },
		})
		into[key.Value] = h
	})
}

func (p *parser) auth(n *yaml.Node, host, where string) Auth {
	var a Auth
	var pair string
	pairAt := n
	p.mapping(n, where, map[string]func(*yaml.Node){
		"username":       func(n *yaml.Node) { a.Username = p.text(n, where+": username") },
		"password":       func(n *yaml.Node) { a.Password = Secret(p.text(n, where+": password")) },
		"auth":           func(n *yaml.Node) { pair, pairAt = p.text(n, where+": auth"), n },
		"identity_token": func(n *yaml.Node) { a.IdentityToken = Secret(p.text(n, where+": identity_token")) },
	})
	if pair != "" && a.Username == "" {
		name, password, ok := decodePair(pair)
		if !ok {
			p.fail(pairAt, "%s: auth (not shown) must be the base64 form of NAME:PASSWORD", where)
		}
		a.Username, a.Password = name, password
	}
	switch {
	case a.Empty():
	case host == wildcard:
		p.fail(n, "%s: these would be shown to every registry of the world: name the registry", where)
	case a.IdentityToken == "" && (a.Username == "" || a.Password == ""):
		p.fail(n, "%s: username and password are needed together", where)
	}
	return a
}

func decodePair(pair string) (name string, password Secret, ok bool) {
	plain, err := base64.StdEncoding.DecodeString(strings.TrimSpace(pair))
	if err != nil {
		return "", "", false
	}
	name, secret, ok := strings.Cut(string(plain), ":")
	return name, Secret(secret), ok && name != "" && secret != ""
}

func (p *parser) tls(n *yaml.Node, where string) TLS {
	var t TLS
	p.mapping(n, where, map[string]func(*yaml.Node){
		"ca_file":   func(n *yaml.Node) { t.CAFile = p.path(n, where+": ca_file") },
		"cert_file": func(n *yaml.Node) { t.CertFile = p.path(n, where+": cert_file") },
		"key_file":  func(n *yaml.Node) { t.KeyFile = p.path(n, where+": key_file") },
		"insecure_skip_verify": func(n *yaml.Node) {
			if n.Decode(&t.Insecure) != nil || n.Tag != "!!bool" {
				p.fail(n, "%s: insecure_skip_verify must be true or false", where)
			}
		},
	})
	if t.KeyFile != "" && t.CertFile == "" {
		p.fail(n, "%s: key_file needs cert_file", where)
	}
	return t
}

func (p *parser) path(n *yaml.Node, where string) string {
	path := p.text(n, where)
	if path != "" && (!filepath.IsAbs(path) || strings.ContainsFunc(path, func(r rune) bool { return !strconv.IsPrint(r) })) {
		p.fail(n, "%s: %q must be an absolute path", where, path)
	}
	return path
}
