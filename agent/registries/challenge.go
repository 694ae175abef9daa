package registries

import "strings"

// challenge reads one WWW-Authenticate header (RFC 9110, section 11.6.1): the
// scheme and the names of parameters are in lower case.
func challenge(header string) (scheme string, params map[string]string) {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(header), " ")
	params = map[string]string{}
	for rest != "" {
		name, after, ok := strings.Cut(rest, "=")
		if !ok {
			break
		}
		var value string
		value, rest = parameter(after)
		params[strings.ToLower(strings.Trim(name, " ,"))] = value
	}
	return strings.ToLower(scheme), params
}

// parameter reads a token or a quoted string from the front of s.
func parameter(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		value, rest, _ = strings.Cut(s, ",")
		return strings.TrimSpace(value), rest
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:]
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), ""
}
