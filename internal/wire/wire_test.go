package wire

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func sample() Token {
	return Token{Pin: Pin{0xab, 1}, ID: "abc123", Secret: strings.Repeat("s3", 13)}
}

func TestTokenSurvivesEncodingAndParsing(t *testing.T) {
	want := sample()
	got, err := ParseToken(" " + want.Encode() + "\n")
	if err != nil || got != want {
		t.Fatalf("got %#v, %v", got, err)
	}
}

func TestTokenNeverPrintsItsSecret(t *testing.T) {
	token := sample()
	for _, format := range []string{"%s", "%v", "%+v", "%#v", "%q"} {
		if text := fmt.Sprintf(format, token); strings.Contains(text, token.Secret) {
			t.Errorf("%s shows the secret: %s", format, text)
		}
	}
	if strings.Contains(token.LogValue().String(), token.Secret) {
		t.Error("slog shows the secret")
	}
}

func TestMalformedTokensAreRefusedWithoutShowingThem(t *testing.T) {
	good := sample().Encode()
	for name, text := range map[string]string{
		"empty":          "",
		"wrong prefix":   "K2" + good[2:],
		"short pin":      "K1abcd::abc123." + sample().Secret,
		"upper-case pin": "K1" + strings.ToUpper(good[2:66]) + good[66:],
		"not hex":        "K1" + strings.Repeat("z", 64) + good[66:],
		"no separator":   strings.Replace(good, "::", ":", 1),
		"no dot":         strings.Replace(good, ".", "", 1),
		"short id":       strings.Replace(good, "abc123", "abc12", 1),
		"short secret":   good[:len(good)-20],
		"bad alphabet":   good[:len(good)-1] + "!",
		"trailing":       good + ".x",
	} {
		_, err := ParseToken(text)
		if !errors.Is(err, ErrTokenFormat) {
			t.Errorf("%s: got %v", name, err)
		} else if strings.Contains(err.Error(), sample().Secret) {
			t.Errorf("%s: error shows the secret: %v", name, err)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(sample().Encode())
	f.Add("K1::.")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		if err != nil {
			if !errors.Is(err, ErrTokenFormat) {
				t.Fatalf("error without its sentinel: %v", err)
			}
			return
		}
		if token.Encode() != strings.TrimSpace(text) {
			t.Fatalf("%q became %q", text, token.Encode())
		}
	})
}

func request() JoinRequest {
	return JoinRequest{
		Node: "edge-1", NodeIPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")},
		DeviceKey: []byte("d"), KubeletClient: []byte("c"), KubeletServing: []byte("s"),
		KubeProxy: []byte("p"), Agent: []byte("a"), Signature: []byte("x"),
	}
}

func TestCheckNamesEachProblem(t *testing.T) {
	good := request()
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	bad := JoinRequest{Node: "Not_A_Name", NodeIPs: make([]netip.Addr, MaxNodeIPs+1)}
	err := bad.Check()
	for _, word := range []string{"Not_A_Name", "17", "deviceKey", "agent", "signature"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%q is not in: %v", word, err)
		}
	}
}

func TestNodeNames(t *testing.T) {
	for name, good := range map[string]bool{
		"edge-1": true, "a": true, "a.b-c.d": true, strings.Repeat("a", 63): true,
		"": false, "-a": false, "a-": false, "a..b": false, "A": false, "a_b": false, "a/b": false,
		strings.Repeat("a", 64): false, "a\n": false, "system:node:a": false,
	} {
		if err := CheckNodeName(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestDigestChangesWithEveryField(t *testing.T) {
	base := request()
	seen := map[[32]byte]string{base.Digest(Pin{}): "base", base.Digest(Pin{1}): "pin"}
	if len(seen) != 2 {
		t.Fatal("the pin is not part of the digest")
	}
	for name, change := range map[string]func(*JoinRequest){
		"node":    func(r *JoinRequest) { r.Node = "edge-2" },
		"ips":     func(r *JoinRequest) { r.NodeIPs = nil },
		"device":  func(r *JoinRequest) { r.DeviceKey = []byte("e") },
		"client":  func(r *JoinRequest) { r.KubeletClient = []byte("e") },
		"serving": func(r *JoinRequest) { r.KubeletServing = []byte("e") },
		"proxy":   func(r *JoinRequest) { r.KubeProxy = []byte("e") },
		"agent":   func(r *JoinRequest) { r.Agent = []byte("e") },
		"moved":   func(r *JoinRequest) { r.KubeProxy, r.Agent = nil, []byte("pa") },
	} {
		r := request()
		change(&r)
		d := r.Digest(Pin{})
		if other, dup := seen[d]; dup {
			t.Errorf("%s has the digest of %s", name, other)
		}
		seen[d] = name
	}
}
