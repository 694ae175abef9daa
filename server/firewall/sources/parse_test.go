package sources_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kedge-io/kedge/server/firewall/sources"
)

func TestListsHaveOneAddressALine(t *testing.T) {
	got, err := sources.ParseList(strings.NewReader("\ufeff# offices\r\n203.0.113.7\r\n\n  10.1.2.3/8 ; the old net\n2001:db8::/32 # new\n203.0.113.7/32\n10.0.0.0/24"))
	if want := "[10.0.0.0/8 10.0.0.0/24 203.0.113.7/32 2001:db8::/32]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("got %v, %v, want %s", got, err, want)
	}
	if got, err := sources.ParseList(strings.NewReader("# nothing\n")); err != nil || len(got) != 0 {
		t.Error(got, err)
	}
}

func TestErrorsOfListsNameTheLine(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.0/8\nexample.org\n":             `line 2: "example.org" is neither an address nor a range: write for instance 203.0.113.7`,
		"10.0.0.0/33":                           `line 1: "10.0.0.0/33" is neither`,
		"10.0.0.1-10.0.0.9":                     "line 1: ",
		"\n\n::ffff:10.0.0.1":                   `line 3: "::ffff:10.0.0.1" is neither`,
		"fe80::1%eth0":                          "line 1: ",
		"10.0.0.1 10.0.0.2":                     "line 1: ",
		"<html>" + strings.Repeat("x", 200):     `line 1: "<html>xxx`,
		strings.Repeat("x", 5000):               "line 1: ",
		strings.Repeat("10.0.0.0/8\n", 100_001): "line 100001: more than 100000 addresses and ranges",
	} {
		if got, err := sources.ParseList(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 250 {
			t.Errorf("%.40q: %v, %v, want %s", text, got, err, want)
		}
	}
}

func TestErrorsOfAddressesNameTheField(t *testing.T) {
	got, err := sources.Addresses([]string{"10.0.0.2", "10.0.0.1/32", "10.0.0.2"})
	if err != nil || fmt.Sprint(got) != "[10.0.0.1/32 10.0.0.2/32]" {
		t.Error(got, err)
	}
	if _, err := sources.Addresses([]string{"10.0.0.2", "oops"}); err == nil || !strings.Contains(err.Error(), `spec.addresses[1]: "oops" is neither`) {
		t.Error(err)
	}
}

func FuzzParseList(f *testing.F) {
	f.Add("10.0.0.0/8\n# a\n2001:db8::1\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := sources.ParseList(strings.NewReader(text))
		for i, p := range got {
			if err != nil || !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() || i > 0 && got[i-1] == p {
				t.Fatal(got, err)
			}
		}
	})
}

func BenchmarkParseList(b *testing.B) {
	var text strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&text, "10.%d.%d.%d/32 # comment\n", i>>16, i>>8&255, i*7&255)
	}
	for b.Loop() {
		if _, err := sources.ParseList(strings.NewReader(text.String())); err != nil {
			b.Fatal(err)
		}
	}
}
