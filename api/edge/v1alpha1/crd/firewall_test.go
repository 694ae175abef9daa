package crd_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// checkAll compares what the server would say to specs with what it should.
func checkAll(t *testing.T, kind string, specs map[string]string) {
	t.Helper()
	c := newChecker(t, kind)
	for spec, want := range specs {
		got := c.check(t, spec)
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", spec, got, want)
		}
	}
}

func TestRulesOfFirewalls(t *testing.T) {
	checkAll(t, "EdgeFirewall", map[string]string{
		`{ingress: {default: deny}}`:                                    "",
		`{egress: {default: reject}, priority: 0, onChange: cut}`:       "",
		`{nodeSelector: {}, priority: 1000, ingress: {default: allow}}`: "",
		`{nodeSelector: {matchLabels: {pool: shops}, matchExpressions: [{key: a/b, operator: In, values: [c]}]}, ingress: {default: deny}}`: "",

		`{}`: "this firewall says nothing: give it ingress, egress or both",
		`{priority: 1001, ingress: {default: deny}}`: "spec.priority: Invalid value: 1001: this is no priority: use 0 to 1000",
		`{priority: -1, ingress: {default: deny}}`:   "-1: this is no priority",
		`{onChange: drop, ingress: {default: deny}}`: `spec.onChange: Unsupported value: "drop": supported values: "keep", "cut"`,
		`{ingress: {}}`:             "spec.ingress: Invalid value: neither rules nor default: give it one of them",
		`{ingress: {default: log}}`: `spec.ingress.default: Unsupported value: "log": supported values: "allow", "deny", "reject"`,
		`{ingress: {rules: []}}`:    "spec.ingress.rules in body should have at least 1 items",
		`{nodeSelector: {matchExpressions: [{key: a, operator: In}]}, ingress: {default: deny}}`:                  "the operator In needs values",
		`{nodeSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}, ingress: {default: deny}}`: "the operator Exists takes no values",
		`{nodeSelector: {matchExpressions: [{key: a, operator: Gt, values: [b]}]}, ingress: {default: deny}}`:     `Unsupported value: "Gt"`,
		`{nodeSelector: {matchExpressions: [{key: a b, operator: Exists}]}, ingress: {default: deny}}`:            `spec.nodeSelector.matchExpressions[0].key`,
		`{nodeSelector: {matchLabels: {pool: "a b"}}, ingress: {default: deny}}`:                                  `spec.nodeSelector.matchLabels.pool`,
	})
}

// ruleOf is a firewall with one rule.
func ruleOf(rule string) string { return "{ingress: {rules: [" + rule + "]}}" }

func rulesOf(rules map[string]string) map[string]string {
	specs := map[string]string{}
	for rule, want := range rules {
		specs[ruleOf(rule)] = want
	}
	return specs
}

func TestRulesOfRules(t *testing.T) {
	checkAll(t, "EdgeFirewall", rulesOf(map[string]string{
		`{action: allow}`: "",
		`{name: ssh, action: allow, protocol: tcp, ports: [22, "8000-8010", "53"], log: true}`: "",
		`{action: log, protocol: icmp}`:                             "",
		`{action: allow, rate: {count: 10}, connections: {max: 5}}`: "",
		`{action: allow, rate: {count: 10000, interval: hour, burst: 1, by: rule}, connections: {max: 1000000, by: source}}`: "",

		`{protocol: tcp}`:                                    "spec.ingress.rules[0].action: Required value",
		`{action: drop}`:                                     `Unsupported value: "drop": supported values: "allow", "deny", "reject", "log"`,
		`{action: allow, protocol: sctp}`:                    `Unsupported value: "sctp": supported values: "any", "tcp", "udp", "icmp"`,
		`{action: allow, ports: [22]}`:                       "ports need a protocol that has them: add protocol tcp or udp",
		`{action: allow, protocol: icmp, ports: [22]}`:       "add protocol tcp or udp",
		`{action: allow, protocol: any, ports: [22]}`:        "add protocol tcp or udp",
		`{action: allow, protocol: tcp, ports: []}`:          "should have at least 1 items",
		`{action: allow, protocol: tcp, ports: [0]}`:         "spec.ingress.rules[0].ports[0]: Invalid value: 0: this is no port: write a number from 1 to 65535",
		`{action: allow, protocol: tcp, ports: [65536]}`:     "65536: this is no port",
		`{action: allow, protocol: tcp, ports: [-1]}`:        "-1: this is no port",
		`{action: allow, protocol: tcp, ports: ["20-10"]}`:   `"20-10": this is no port`,
		`{action: allow, protocol: tcp, ports: ["20:30"]}`:   `"20:30": this is no port`,
		`{action: allow, protocol: tcp, ports: ["1-70000"]}`: `"1-70000": this is no port`,
		`{action: allow, protocol: tcp, ports: [http]}`:      `"http": this is no port`,
		`{action: allow, peers: []}`:                         "should have at least 1 items",
		`{action: allow, name: SSH}`:                         `"SSH": this is no name for a rule: use 1 to 63 of a-z, 0-9 and -`,
		`{action: allow, name: rule-7}`:                      "rule-N are the names of rules without a name",
		`{action: allow, name: a}, {action: deny, name: a}`:  "two rules of this direction have the same name",
		`{action: deny, rate: {count: 1}}`:                   "this one has action deny: use allow",
		`{action: log, connections: {max: 1}}`:               "this one has action log: use allow",
		`{action: log, log: true}`:                           "logs already: leave log out",
		`{action: allow, rate: {count: 0}}`:                  "0: this is no count: use 1 to 10000",
		`{action: allow, rate: {count: 1, burst: 0}}`:        "0: this is no burst: use 1 to 10000",
		`{action: allow, rate: {count: 1, interval: day}}`:   `Unsupported value: "day"`,
		`{action: allow, rate: {count: 1, by: port}}`:        `Unsupported value: "port": supported values: "source", "rule"`,
		`{action: allow, connections: {max: 0}}`:             "0: this is no number of connections: use 1 to 1000000",
	}))
}

func TestRulesOfPeers(t *testing.T) {
	peers := map[string]string{}
	for peer, want := range map[string]string{
		`{cidr: 203.0.113.0/24}`:                                  "",
		`{cidr: "2001:db8::/32", except: ["2001:db8:1::/48"]}`:    "",
		`{cidr: 0.0.0.0/0, except: [10.0.0.0/8, 192.168.0.0/16]}`: "",
		`{addressSet: offices}`:                                   "",
		`{nodeSelector: {}}`:                                      "",
		`{nodeSelector: {matchLabels: {pool: shops}}}`:            "",
		`{cluster: true}`:                                         "",
		`{servers: true}, {dns: time.example.org}`:                "",

		`{}`:                                            "a peer has exactly one of cidr, addressSet, nodeSelector, cluster, servers and dns",
		`{cluster: true, servers: true}`:                "a peer has exactly one of",
		`{cluster: false}`:                              `Unsupported value: false`,
		`{except: [10.0.0.0/8]}`:                        "except takes parts out of a cidr: add the cidr",
		`{cidr: 203.0.113.7}`:                           `spec.ingress.rules[0].peers[0].cidr: Invalid value: "203.0.113.7": this is no range of addresses: write for instance 203.0.113.0/24, 2001:db8::/32, or 203.0.113.7/32`,
		`{cidr: 203.0.113.7/24}`:                        `"203.0.113.7/24": this has bits beyond its prefix: write the first address of the range, or /32`,
		`{cidr: 203.0.113.0/33}`:                        "this is no range",
		`{cidr: "::ffff:10.0.0.0/104"}`:                 "this is no range",
		`{cidr: ""}`:                                    "this is no range",
		`{cidr: 10.0.0.0/8, except: [11.0.0.0/8]}`:      "except 11.0.0.0/8: each must lie within cidr 10.0.0.0/8",
		`{cidr: 10.0.0.0/8, except: ["2001:db8::/32"]}`: "each must lie within cidr 10.0.0.0/8",
		`{cidr: 10.0.0.0/8, except: [10.0.0.1]}`:        `"10.0.0.1": this is no range`,
		`{addressSet: Offices}`:                         `"Offices": this is not the name of an AddressSet`,
		`{dns: "*.example.org"}`:                        `"*.example.org": this is no host name: write for instance time.example.org, in lower case, without *`,
		`{dns: example.org.}`:                           "this is no host name",
		`{dns: a..b}`:                                   "this is no host name",
		`{dns: 203.0.113.7}`:                            `"203.0.113.7": this is an address: write it as cidr`,
		`{nodeSelector: {matchExpressions: [{key: a, operator: NotIn}]}}`: "the operator NotIn needs values",
	} {
		peers["{action: allow, peers: ["+peer+"]}"] = want
	}
	checkAll(t, "EdgeFirewall", rulesOf(peers))
}

// The largest firewall costs less than the server lets rules cost.
func TestLargestFirewallIsTaken(t *testing.T) {
	var rules []string
	for i := range 256 {
		name := fmt.Sprintf("%s-%03d", strings.Repeat("n", 59), i)
		ports := strings.TrimSuffix(strings.Repeat(`"10000-10100", `, 64), ", ")
		peers := strings.TrimSuffix(strings.Repeat(`{cidr: 203.0.113.0/24, except: [203.0.113.0/28, 203.0.113.64/28]}, `, 32), ", ")
		rules = append(rules, fmt.Sprintf("{name: %s, action: allow, protocol: tcp, ports: [%s], peers: [%s]}", name, ports, peers))
	}
	if got := newChecker(t, "EdgeFirewall").check(t, ruleOf(strings.Join(rules, ", "))); got != "" {
		t.Error(got[:min(2000, len(got))])
	}
}

func TestRulesOfAddressSets(t *testing.T) {
	const pem = `"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"`
	checkAll(t, "AddressSet", map[string]string{
		`{addresses: [203.0.113.7, 203.0.113.0/24, "2001:db8::1", "2001:db8::/32"]}`: "",
		`{addresses: []}`:                         "",
		`{configMapRef: {namespace: a, name: b}}`: "",
		`{configMapRef: {namespace: a, name: b, key: c}, list: {url: "https://lists.example.org/a.txt?b=@c"}}`: "",
		`{list: {url: "https://10.0.0.1:8443/", interval: 10s, caBundle: ` + pem + `}}`:                        "",

		`{}`:                                                              "this set has no source: give it addresses, configMapRef or list",
		`{addresses: [nonsense]}`:                                         `spec.addresses[0]: Invalid value: "nonsense": this is neither an address nor a range: write for instance 203.0.113.7`,
		`{addresses: [10.0.0.1/8]}`:                                       `"10.0.0.1/8": this is neither`,
		`{addresses: [10.0.0.1-10.0.0.9]}`:                                `"10.0.0.1-10.0.0.9": this is neither`,
		`{configMapRef: {name: b}}`:                                       "spec.configMapRef.namespace: Required value",
		`{list: {url: "http://lists.example.org/"}}`:                      `"http://lists.example.org/": this is no https address`,
		`{list: {url: "https:///a"}}`:                                     "this is no https address",
		`{list: {url: "lists.example.org"}}`:                              "this is no https address",
		`{list: {url: "https://me:secret@lists.example.org/"}}`:           "this has a name or password in it",
		`{list: {url: "https://lists.example.org/", interval: 9s}}`:       `"9s": this is no interval: use 10s to 168h`,
		`{list: {url: "https://lists.example.org/", interval: 169h}}`:     `"169h": this is no interval`,
		`{list: {url: "https://lists.example.org/", interval: soon}}`:     "spec.list.interval",
		`{list: {url: "https://lists.example.org/", caBundle: nonsense}}`: "this holds no certificate: write PEM",
	})
}

func TestLargestAddressSetIsTaken(t *testing.T) {
	var all []string
	for i := range 25000 {
		all = append(all, fmt.Sprintf(`"2001:db8:%x:%x::/64"`, i/256+0x1000, i%256+0x1000))
	}
	if got := newChecker(t, "AddressSet").check(t, "{addresses: ["+strings.Join(all, ", ")+"]}"); got != "" {
		t.Error(got[:min(2000, len(got))])
	}
}

func TestExampleOfFirewallsIsValid(t *testing.T) {
	raw, err := os.ReadFile("../../../../docs/examples/firewall.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for doc := range strings.SplitSeq(string(raw), "---\n") {
		head, spec, _ := strings.Cut(doc, "\nspec:\n")
		for _, kind := range []string{"EdgeFirewall", "AddressSet"} {
			if strings.Contains(head, "kind: "+kind) {
				found[kind]++
				if problem := newChecker(t, kind).check(t, "\n"+spec); problem != "" {
					t.Errorf("%s\n%s", doc, problem)
				}
			}
		}
	}
	if found["EdgeFirewall"] != 2 || found["AddressSet"] != 1 {
		t.Error(found)
	}
}
