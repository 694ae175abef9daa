package nft

import "testing"

func TestSameRulesComparesCommentsInOrder(t *testing.T) {
	const body = "ip saddr 10.0.0.0/8 masquerade fully-random comment \"a\"\ntcp dport 53 notrack comment \"b\"\n"
	cases := map[string]bool{
		"ip saddr 10.0.0.0/8 masquerade random-fully comment \"a\"\nth dport 53 notrack comment \"b\"\n": true,
		"x comment \"b\"\ny comment \"a\"\n": false,
		"x comment \"a\"\n":                  false,
		"":                                   false,
	}
	for listing, want := range cases {
		if got := SameRules(body, listing); got != want {
			t.Errorf("SameRules(%q) = %v", listing, got)
		}
	}
}

func TestTableIsWrittenAsNftListsIt(t *testing.T) {
	if got := (Table{Family: "inet", Name: "x"}).String(); got != "table inet x" {
		t.Error(got)
	}
}
