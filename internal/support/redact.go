package support

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Mask stands where a secret was.
const Mask = "********"

// shortest is how long a learned value must be, in bytes: shorter ones would be
// found inside of ordinary words.
const shortest = 6

// telling are names whose values are secret.
const telling = `(?:password|passwd|passphrase|secret|token|credential|api[_-]?key|access[_-]?key|private[_-]?key|key[_-]?data|identitytoken|registrytoken|encryption[_-]?key|client[_-]?key|psk|cookie|authorization|\bauth\b)`

// harmless end names of telling sound whose values are none: where a secret is, how
// long it lives, what it is called.
var harmless = regexp.MustCompile(`(?i)(file|path|dir|ttl|expir\w*|description|names?|namespace|refs?|count|kinds?|types?|uses|id)$`)

// shape is what a kind of secret looks like, and what is left of it. It is only looked
// for in lines that have one of the hints, in lower case: expressions are slow.
type shape struct {
	hints []string
	find  *regexp.Regexp
	put   string
}

// keys are private keys, which have several lines: whole ones, and those of which the
// bound of a log has cut off one end.
var keys = []*regexp.Regexp{
	regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(?:[\s\S]*?-----END [A-Z0-9 ]*PRIVATE KEY-----|[\s\S]*\z)`),
	regexp.MustCompile(`(?:[A-Za-z0-9+/=]{40,}(?:\r?\n|\\n)?)+[A-Za-z0-9+/=]*(?:\r?\n|\\n)?-----END [A-Z0-9 ]*PRIVATE KEY-----`),
}

var tellingHints = []string{"pass", "secret", "token", "credential", "key", "psk", "cookie", "auth"}

var shapes = []shape{
	// Keys in base64, as kubeconfigs have them: "-----BEGIN".
	{[]string{"ls0tls1crudjt"}, regexp.MustCompile(`LS0tLS1CRUdJT[A-Za-z0-9+/=_-]*`), Mask},
	{[]string{"age-secret"}, regexp.MustCompile(`AGE-SECRET-KEY-1[0-9A-Za-z]+`), Mask},
	// Tokens of kedge: the hash of the authority and the id are public.
	{[]string{"::"}, regexp.MustCompile(`(K1[0-9a-f]{64}::[A-Za-z0-9]+)\.[A-Za-z0-9_-]+`), "$1." + Mask},
	// JSON web tokens, which service accounts have.
	{[]string{"eyj"}, regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?`), Mask},
	{[]string{"zxlk"}, regexp.MustCompile(`\bZXlK[A-Za-z0-9+/=_-]{30,}`), Mask}, // the same in base64
	{[]string{"akia", "asia"}, regexp.MustCompile(`\b(?:AKIA|ASIA)[0-9A-Z]{16}\b`), Mask},
	// Users and passwords of URLs, and of data sources as drivers write them.
	{[]string{"://"}, regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)[^\s"'<>\x60]*@`), "${1}" + Mask + "@"},
	{[]string{"@tcp(", "@unix("}, regexp.MustCompile(`[^\s"'=:,]+:[^\s"']+@((?:tcp|unix)\()`), Mask + "@$1"},
	// What a header proves itself with has several words, and may be in a list.
	{[]string{"authorization", "cookie"}, regexp.MustCompile(`(?i)((?:authorization|cookie)\\?["']?[ \t]*:[ \t]*\[?[ \t]*\\?["']?)[^"'\]\\\r\n]+`), "${1}" + Mask},
	{[]string{"sig"}, regexp.MustCompile(`(?i)([?&](?:x-amz-|x-goog-)?sig(?:nature)?=)[^&\s"'<>\\]+`), "${1}" + Mask}, // of signed addresses
	{[]string{"bearer", "basic"}, regexp.MustCompile(`(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{6,}`), "$1 " + Mask},
	// Variables of pods: {"name": "DB_PASSWORD", "value": "..."}.
	{tellingHints, regexp.MustCompile(`(?i)(\\?"?name\\?"?\s*[:=]\s*\\?"?[\w.-]*` + telling + `[\w.-]*\\?"?\s*,?\s*\\?"?value\\?"?\s*[:=]\s*)(?:\\?"[^"]*"|[^\s,}\]]+)`), "${1}\"" + Mask + "\""},
}

// bearer is the second half of a join token alone.
var bearer = regexp.MustCompile(`\b([a-z0-9]{6})\.[a-z0-9]{16,64}\b`)

// pair is NAME=VALUE, "name": "value", "name": ["value"] and their like with a telling
// name; option is --name VALUE, element the same as two elements of a list. A plain
// word ends a value, so that what follows is looked at, too.
var (
	pair    = regexp.MustCompile(`(?i)([\w.-]*` + telling + `[\w.-]*)(\\?["']?\s*[:=]\s*)((?:true|false|null|[0-9]{1,3})\b|\\?"(?:[^"\\]|\\.)*"|'[^']*'|\[[^\]{}]*\]|[^\s]+)`)
	option  = regexp.MustCompile(`(?i)(--?[\w.-]*` + telling + `[\w.-]*)(\s+)([^\s-][^\s]*)`)
	element = regexp.MustCompile(`(?i)(--?[\w.-]*` + telling + `[\w.-]*)(\\?["']\s*,\s*)(\\?"[^"\\-](?:[^"\\]|\\.)*"|'[^'-][^']*')`)
)

// Redactor takes secrets out of text. It is not for concurrent use with Learn.
type Redactor struct {
	values  map[string]bool
	literal *strings.Replacer
}

// NewRedactor knows secrets by their shape only.
func NewRedactor() *Redactor { return &Redactor{values: map[string]bool{}} }

// Learn has values masked wherever they are. Those of less than 6 bytes are passed
// over, as are plain words such as true.
func (r *Redactor) Learn(values ...string) {
	for _, v := range values {
		for _, line := range strings.Split(v, "\n") {
			line = strings.TrimSpace(line)
			if len(line) < shortest || strings.HasPrefix(line, "-----") {
				continue
			}
			for _, form := range forms(line) {
				r.values[form] = true
			}
			// A token's secret may be alone somewhere.
			if _, secret, ok := strings.Cut(line, "."); ok && strings.HasPrefix(line, "K1") && strings.Contains(line, "::") {
				r.Learn(secret)
			}
		}
	}
	r.literal = nil
}

// forms are how a value may be written.
func forms(v string) []string {
	quoted, _ := json.Marshal(v) // a string can always be
	return []string{
		v, url.QueryEscape(v), url.PathEscape(v), strings.Trim(string(quoted), `"`),
		base64.StdEncoding.EncodeToString([]byte(v)), base64.StdEncoding.EncodeToString([]byte(v + "\n")),
		base64.RawURLEncoding.EncodeToString([]byte(v)),
	}
}

// Text is text without secrets.
func (r *Redactor) Text(text string) string {
	text = r.literals().Replace(text)
	if strings.Contains(text, "PRIVATE KEY-----") {
		for _, k := range keys {
			text = k.ReplaceAllString(text, Mask)
		}
	}
	var out strings.Builder
	out.Grow(len(text))
	// Lines with a hint go together with the next one, where a value may be.
	var pending strings.Builder
	for line := range strings.Lines(text) {
		suspect := suspicious(line)
		if pending.Len() == 0 && !suspect {
			out.WriteString(line)
			continue
		}
		pending.WriteString(line)
		if !suspect || pending.Len() > maxPending {
			out.WriteString(masked(pending.String()))
			pending.Reset()
		}
	}
	out.WriteString(masked(pending.String()))
	return out.String()
}

// maxPending bounds what is looked at together, in bytes.
const maxPending = 64 << 10

// suspicious tells whether a line can have a secret in it.
func suspicious(line string) bool {
	low := strings.ToLower(line)
	if has(low, tellingHints) || hasBearer(line) {
		return true
	}
	return slices.ContainsFunc(shapes, func(s shape) bool { return has(low, s.hints) })
}

func has(low string, hints []string) bool {
	return slices.ContainsFunc(hints, func(h string) bool { return strings.Contains(low, h) })
}

// hasBearer finds six and then sixteen characters around a dot.
func hasBearer(line string) bool {
	for i := strings.IndexByte(line, '.'); i >= 0; {
		if i >= 6 && len(line)-i > 16 && alphanumeric(line[i-6:i]) && alphanumeric(line[i+1:i+17]) {
			return true
		}
		next := strings.IndexByte(line[i+1:], '.')
		if next < 0 {
			break
		}
		i += 1 + next
	}
	return false
}

func alphanumeric(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// masked is text, of a few lines, without secrets of a known shape.
func masked(text string) string {
	if text == "" {
		return ""
	}
	low := strings.ToLower(text)
	for _, s := range shapes {
		if has(low, s.hints) {
			text = s.find.ReplaceAllString(text, s.put)
		}
	}
	text = bearer.ReplaceAllString(text, "$1."+Mask)
	if !has(low, tellingHints) {
		return text
	}
	for _, by := range []*regexp.Regexp{pair, option, element} {
		text = maskValues(text, by)
	}
	return text
}

// literals replaces the longest values first, so that no rest of one stays.
func (r *Redactor) literals() *strings.Replacer {
	if r.literal == nil {
		all := make([]string, 0, len(r.values))
		for v := range r.values {
			all = append(all, v)
		}
		slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
		pairs := make([]string, 0, 2*len(all))
		for _, v := range all {
			pairs = append(pairs, v, Mask)
		}
		r.literal = strings.NewReplacer(pairs...)
	}
	return r.literal
}

func maskValues(text string, by *regexp.Regexp) string {
	return by.ReplaceAllStringFunc(text, func(whole string) string { return maskValue(whole, by) })
}

// maskValue masks the value behind a telling name. Quotes, and what closes a list or
// an object around it, stay. What is no secret may have one in it, such as an object
// with a password.
func maskValue(whole string, by *regexp.Regexp) string {
	m := by.FindStringSubmatch(whole)
	name, between, value := m[1], m[2], m[3]
	list := strings.HasPrefix(value, "[") && strings.HasSuffix(value, "]") && len(value) > 2
	switch {
	case harmless.MatchString(name) || plain(value) && !list:
		return name + between + maskValues(value, by)
	case list:
		return name + between + "[" + Mask + "]"
	}
	for _, quote := range []string{`\"`, `"`, `'`} {
		if strings.HasPrefix(value, quote) {
			return name + between + quote + Mask + quote
		}
	}
	return name + between + Mask + value[len(strings.TrimRight(value, ",;})]")):]
}

// small is a number that is no secret.
var small = regexp.MustCompile(`^[0-9]{1,3}$`)

// plain are values that say nothing, and openings of what follows.
func plain(value string) bool {
	switch value = strings.Trim(value, `"'\,`); value {
	case "", "true", "false", "null", "|", ">", "-", Mask:
		return true
	}
	return small.MatchString(value) || strings.HasPrefix(value, "{") || strings.HasPrefix(value, "[")
}
