package sources_test

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/server/firewall/sources"
)

// object is a firewall with a spec as people write it.
func object(t *testing.T, spec string) *v1alpha1.EdgeFirewall {
	t.Helper()
	o := &v1alpha1.EdgeFirewall{ObjectMeta: metav1.ObjectMeta{Name: "f", Generation: 3, CreationTimestamp: metav1.Unix(1000, 0)}}
	if err := yaml.UnmarshalStrict([]byte(spec), &o.Spec); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestAllFieldsAreTranslated(t *testing.T) {
	got, err := sources.Firewall(object(t, `
nodeSelector: {matchLabels: {pool: shops}}
priority: 10
onChange: cut
ingress:
  default: deny
  rules:
  - {name: ssh, action: allow, protocol: tcp, ports: [22, "8000-8010"], log: true, peers: [{cidr: 203.0.113.0/24, except: [203.0.113.128/25]}, {addressSet: offices}], rate: {count: 5, interval: minute}, connections: {max: 3}}
  - {action: log, protocol: any, peers: [{cluster: true}, {servers: true}, {nodeSelector: {}}]}
egress:
  rules:
  - {action: reject, protocol: icmp, peers: [{dns: time.example.org}]}
  - {action: allow, rate: {count: 7, interval: hour, burst: 2, by: rule}, connections: {max: 4, by: rule}}
`))
	if err != nil {
		t.Fatal(err)
	}
	if got.Nodes.String() != "pool=shops" || !got.Ingress.Rules[1].Peers[2].Nodes.Matches(labels.Set{"a": "b"}) {
		t.Error(got.Nodes, got.Ingress.Rules[1].Peers[2].Nodes)
	}
	got.Nodes, got.Ingress.Rules[1].Peers[2].Nodes = nil, nil
	want := model.Firewall{
		Name: "f", Generation: 3, Created: time.Unix(1000, 0), Priority: 10, OnChange: model.Cut,
		Ingress: model.Section{Default: model.Deny, Rules: []model.Rule{{
			Name: "ssh", Action: model.Allow, Protocol: model.TCP, Ports: []model.PortRange{model.Port(22), {First: 8000, Last: 8010}}, Log: true,
			Peers:       []model.Peer{{CIDR: netip.MustParsePrefix("203.0.113.0/24"), Except: []netip.Prefix{netip.MustParsePrefix("203.0.113.128/25")}}, {AddressSet: "offices"}},
			Rate:        &model.RateLimit{Count: 5, Seconds: 60, Burst: 5, Per: model.PerSource},
			Connections: &model.ConnectionLimit{Max: 3, Per: model.PerSource},
		}, {
			Name: "rule-2", Action: model.Log, Peers: []model.Peer{{Cluster: true}, {Servers: true}, {}},
		}}},
		Egress: model.Section{Rules: []model.Rule{
			{Name: "rule-1", Action: model.Reject, Protocol: model.ICMP, Peers: []model.Peer{{DNS: "time.example.org"}}},
			{Name: "rule-2", Action: model.Allow, Rate: &model.RateLimit{Count: 7, Seconds: 3600, Burst: 2, Per: model.PerRule}, Connections: &model.ConnectionLimit{Max: 4, Per: model.PerRule}},
		}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
	if names := sources.AddressSets(got); !reflect.DeepEqual(names, []string{"offices"}) {
		t.Error(names)
	}
}

func TestDefaultsOfAFirewall(t *testing.T) {
	got, err := sources.Firewall(object(t, `{ingress: {default: allow}}`))
	if err != nil || got.Priority != 500 || got.OnChange != model.Keep || !got.Nodes.Matches(labels.Set{}) || got.Egress.Default != model.Pass {
		t.Errorf("%+v %v", got, err)
	}
}

// The API server would refuse these; an object from elsewhere may have them.
func TestErrorsNameFieldValueAndRemedy(t *testing.T) {
	for spec, want := range map[string]string{
		`{priority: 2000}`:                          `spec.priority: "2000": use 0 to 1000`,
		`{onChange: drop}`:                          `spec.onChange: "drop": use keep or cut`,
		`{ingress: {default: log}}`:                 `spec.ingress.default: "log": use allow, deny or reject, or leave it out`,
		`{nodeSelector: {matchLabels: {"a b": c}}}`: `spec.nodeSelector: `,
		`{nodeSelector: {matchExpressions: [{key: a, operator: Is}]}}`:                             `"Is" is not a valid label selector operator`,
		`{egress: {rules: [{action: drop}]}}`:                                                      `spec.egress.rules[0].action: "drop": use allow, deny, reject or log`,
		`{egress: {rules: [{action: allow, protocol: sctp}]}}`:                                     `spec.egress.rules[0].protocol: "sctp": use tcp, udp, icmp or any`,
		`{egress: {rules: [{action: allow, ports: [1]}]}}`:                                         `ports need protocol tcp or udp`,
		`{egress: {rules: [{action: allow, protocol: tcp, ports: ["9-1"]}]}}`:                      `spec.egress.rules[0].ports[0]: "9-1": write a number`,
		`{egress: {rules: [{action: allow, protocol: tcp, ports: [0]}]}}`:                          `"0": write a number`,
		`{egress: {rules: [{action: allow, protocol: tcp, ports: ["1-65536"]}]}}`:                  `"1-65536": write a number`,
		`{ingress: {rules: [{action: allow, name: a}, {action: deny, name: a}]}}`:                  `spec.ingress.rules[1].name: "a": another rule`,
		`{ingress: {rules: [{action: allow}, {action: deny, name: rule-1}]}}`:                      `spec.ingress.rules[1].name: "rule-1": another rule`,
		`{ingress: {rules: [{action: deny, rate: {count: 1}}]}}`:                                   `spec.ingress.rules[0].action: "deny": rate and connections limit`,
		`{ingress: {rules: [{action: allow, rate: {count: 0}}]}}`:                                  `spec.ingress.rules[0].rate.count: "0": use 1 to 10000`,
		`{ingress: {rules: [{action: allow, rate: {count: 1, burst: 20000}}]}}`:                    `rate.burst: "20000": use 1 to 10000`,
		`{ingress: {rules: [{action: allow, rate: {count: 1, interval: day}}]}}`:                   `rate.interval: "day": use second, minute or hour`,
		`{ingress: {rules: [{action: allow, connections: {max: 0}}]}}`:                             `connections.max: "0": use 1 to 1000000`,
		`{ingress: {rules: [{action: allow, connections: {max: 1, by: port}}]}}`:                   `connections.by: "port": use source or rule`,
		`{ingress: {rules: [{action: allow, peers: [{}]}]}}`:                                       `spec.ingress.rules[0].peers[0]: "0 kinds": give it exactly one of`,
		`{ingress: {rules: [{action: allow, peers: [{cluster: true, dns: a}]}]}}`:                  `"2 kinds": give it exactly one of`,
		`{ingress: {rules: [{action: allow, peers: [{dns: "*.a"}]}]}}`:                             `peers[0].dns: "*.a": write a host name`,
		`{ingress: {rules: [{action: allow, peers: [{cidr: 10.0.0.1}]}]}}`:                         `peers[0].cidr: "10.0.0.1": write a range of addresses`,
		`{ingress: {rules: [{action: allow, peers: [{cidr: 10.0.0.1/8}]}]}}`:                       `write 10.0.0.0/8, or 10.0.0.1/32 for this one address`,
		`{ingress: {rules: [{action: allow, peers: [{cidr: 10.0.0.0/8, except: [11.0.0.0/8]}]}]}}`: `peers[0].except[0]: "11.0.0.0/8": it must lie within cidr "10.0.0.0/8"`,
		`{ingress: {rules: [{action: allow, peers: [{cidr: 10.0.0.0/8, except: [0.0.0.0/0]}]}]}}`:  `"0.0.0.0/0": it must lie within`,
	} {
		if _, err := sources.Firewall(object(t, spec)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\n got %v\nwant %s", spec, err, want)
		}
	}
	if _, err := sources.Firewall(object(t, `{priority: 2000, onChange: drop}`)); strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("not all problems are named: %v", err)
	}
}
