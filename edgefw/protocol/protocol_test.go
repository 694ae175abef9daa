package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/kedge-io/kedge/edgefw/model"
)

// prefixes are n of IPv4 and n of IPv6, sorted, beginning with number first.
func prefixes(first, n int) []netip.Prefix {
	var list []netip.Prefix
	for k := first; k < first+n; k++ {
		list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(k >> 8), byte(k), 0}), 24))
	}
	for k := first; k < first+n; k++ {
		list = append(list, netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(k >> 8), byte(k)}), 48))
	}
	return list
}

func example() *model.Ruleset {
	return &model.Ruleset{
		Host: model.HostRules{
			Ingress: model.Chain{
				Rules: []model.HostRule{
					{
						ID: "web/ingress/offices", Action: model.Allow, Protocol: model.TCP,
						Ports: []model.PortRange{model.Port(443), {First: 8000, Last: 8010}},
						Peers: []model.SetID{"set/offices", "dns/time.example.org"},
						Rate:  &model.RateLimit{Count: 10, Seconds: 60, Burst: 5, Per: model.PerSource}, Log: true,
					},
					{ID: "web/ingress/all", Action: model.Reject, Anybody: true, Connections: &model.ConnectionLimit{Max: 3, Per: model.PerRule}},
				},
				Default: model.Deny, DefaultFrom: "web",
			},
			Cut: true,
		},
		Pods: model.PodRules{
			Known: []string{"uid-1", "uid-2"}, Guarded: []string{"shop"}, IsolatedIngress: "pods/isolated",
			Ingress: []model.PodRule{{ID: "shop/web/ingress/1", Pods: "pods/isolated", Anybody: true, Protocol: model.SCTP}},
		},
		Sets: map[model.SetID]model.Set{
			"set/offices":          {Prefixes: prefixes(0, 40)},
			"dns/time.example.org": {Name: "time.example.org"},
			"pods/isolated":        {Pods: []string{"uid-1", "uid-2"}},
			"cluster":              {},
		},
	}
}

// update is the way from what is held to a ruleset, all parts whole.
func update(t testing.TB, revision uint64, rs *model.Ruleset) Update {
	t.Helper()
	m := must(ManifestOf(rs))(t)
	u := Update{Revision: revision, Root: m.Root(), Parts: []Part{
		{Kind: KindHost, Body: must(EncodeHost(rs.Host))(t)},
		{Kind: KindPods, Body: must(EncodePods(rs.Pods))(t)},
	}}
	for id, set := range rs.Sets {
		u.Parts = append(u.Parts, Part{Kind: KindSet, Set: id, Body: must(EncodeSet(set))(t)})
	}
	return u
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestARulesetTravelsWhole(t *testing.T) {
	rs := example()
	wire := must(AppendUpdate(nil, update(t, 7, rs)))(t)
	// In small pieces, as streams are.
	u := must(NewReader(iotest.OneByteReader(bytes.NewReader(wire))).Update())(t)
	if u.Revision != 7 {
		t.Errorf("revision %d", u.Revision)
	}
	hold := must(Hold(nil))(t)
	got := must(hold.Take(u))(t)
	if !reflect.DeepEqual(got, rs) {
		t.Errorf("got  %+v\nwant %+v", got, rs)
	}
	if root := must(ManifestOf(rs))(t).Root(); hold.Manifest().Root() != root || must(Hold(got))(t).Manifest().Root() != root {
		t.Error("the hashes of what came are not those of what was sent")
	}
}

func TestWhatANodeSaysIsRead(t *testing.T) {
	hello := must(Hold(example()))(t).Hello(12, "v1")
	ack := Ack{Revision: 12, State: StateRolledBack, Enforced: 11, Reason: "no connection\nto the server", Took: 5}
	var wire bytes.Buffer
	if err := errors.Join(WriteHello(&wire, hello), WriteAck(&wire, ack)); err != nil {
		t.Fatal(err)
	}
	r := NewReader(&wire)
	gotHello, none, err := r.FromNode()
	if err != nil || none != nil || !reflect.DeepEqual(*gotHello, hello) {
		t.Fatalf("got %+v, %v, %v", gotHello, none, err)
	}
	_, gotAck, err := r.FromNode()
	ack.Reason = "no connection to the server"
	if err != nil || *gotAck != ack {
		t.Fatalf("got %+v, %v", gotAck, err)
	}
	if _, _, err := r.FromNode(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

func TestASetTravelsAsADifference(t *testing.T) {
	old := &model.Ruleset{Sets: map[model.SetID]model.Set{"a": {Prefixes: prefixes(0, 1000)}, "b": {Name: "x"}, "gone": {}}}
	now := model.Set{Prefixes: prefixes(3, 1001)}
	hold := must(Hold(old))(t)
	from := hold.Manifest().Sets["a"]
	d, ok := Diff(from, old.Sets["a"], now)
	if !ok || len(d.Remove) != 6 || len(d.Add) != 8 {
		t.Fatalf("removes %d, adds %d", len(d.Remove), len(d.Add))
	}
	want := must(ManifestOf(&model.Ruleset{Sets: map[model.SetID]model.Set{"a": now, "b": {Name: "x"}}}))(t)
	u := Update{Revision: 2, Root: want.Root(), Drop: []model.SetID{"gone"}, Parts: []Part{{Kind: KindDelta, Set: "a", Body: d.Encode()}}}
	wire := must(AppendUpdate(nil, u))(t)
	if len(wire) > 600 {
		t.Errorf("the update has %d bytes", len(wire))
	}
	rs := must(hold.Take(must(NewReader(bytes.NewReader(wire)).Update())(t)))(t)
	if !reflect.DeepEqual(rs.Sets["a"], now) {
		t.Errorf("got %v", rs.Sets["a"])
	}
	if _, ok := rs.Sets["gone"]; ok || len(rs.Sets) != 2 {
		t.Errorf("sets are %v", rs.Sets)
	}
	if len(old.Sets["a"].Prefixes) != 2000 || len(old.Sets) != 3 {
		t.Error("the former ruleset was changed")
	}
	// The same again does not build on what is held now, and changes nothing.
	if _, err := hold.Take(&u); !errors.Is(err, ErrMissing) {
		t.Errorf("got %v", err)
	}
	if hold.Ruleset() != rs || hold.Manifest().Root() != want.Root() {
		t.Error("a refused update changed what is held")
	}
}

func TestEveryDifferenceLeadsToTheOther(t *testing.T) {
	sets := []model.Set{
		{}, {Prefixes: prefixes(0, 1)}, {Prefixes: prefixes(1, 5)}, {Prefixes: prefixes(2, 2)}, {Prefixes: prefixes(0, 9)[:9]},
		{Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
		{Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/25"), netip.MustParsePrefix("2001:db8::/32")}},
	}
	for i, a := range sets {
		for j, b := range sets {
			from := must(HashSet(a))(t)
			d, ok := Diff(from, a, b)
			if !ok {
				t.Fatalf("%d to %d has no difference", i, j)
			}
			body := d.Encode()
			if len(body) != d.Size() {
				t.Errorf("%d bytes, said to be %d", len(body), d.Size())
			}
			got, err := must(DecodeDelta(body))(t).Apply(a)
			if err != nil || must(HashSet(got))(t) != must(HashSet(b))(t) {
				t.Errorf("%d to %d: %v, %v", i, j, got, err)
			}
		}
	}
}

func TestAnUpdateThatBuildsOnOthersIsMissed(t *testing.T) {
	rs := example()
	whole := update(t, 1, rs)
	for n := range whole.Parts {
		u := whole
		u.Parts = append(append([]Part(nil), whole.Parts[:n]...), whole.Parts[n+1:]...)
		hold := must(Hold(nil))(t)
		if _, err := hold.Take(&u); !errors.Is(err, ErrMissing) {
			t.Errorf("without part %c %s: %v", whole.Parts[n].Kind, whole.Parts[n].Set, err)
		}
	}
	d := Delta{Add: prefixes(0, 1)}
	u := Update{Parts: []Part{{Kind: KindDelta, Set: "unheard-of", Body: d.Encode()}}}
	if _, err := must(Hold(nil))(t).Take(&u); !errors.Is(err, ErrMissing) {
		t.Errorf("a delta of a set that is not there: %v", err)
	}
}

func TestANodeRefusesWhatItDoesNotKnow(t *testing.T) {
	for what, part := range map[string]Part{
		"a word in rules of the host": {Kind: KindHost, Body: []byte(`{"ingress":{"rules":[{"id":"a","action":"allow","anybody":true,"weekdays":"mon"}]},"egress":{}}`)},
		"a word in rules of pods":     {Kind: KindPods, Body: []byte(`{"layer7":true}`)},
		"a kind of part":              {Kind: 'z'},
		"a kind of set":               {Kind: KindSet, Set: "s", Body: []byte("zzz")},
		"bytes behind rules":          {Kind: KindPods, Body: []byte(`{}{}`)},
	} {
		hold := must(Hold(example()))(t)
		root := hold.Manifest().Root()
		if _, err := hold.Take(&Update{Parts: []Part{part}}); err == nil || errors.Is(err, ErrMissing) {
			t.Errorf("%s: %v", what, err)
		}
		if hold.Manifest().Root() != root || must(ManifestOf(hold.Ruleset()))(t).Root() != root {
			t.Errorf("%s changed what is held", what)
		}
	}
}

func TestOnlyCanonicalSetsTravel(t *testing.T) {
	parse := func(list ...string) (set model.Set) {
		for _, s := range list {
			set.Prefixes = append(set.Prefixes, netip.MustParsePrefix(s))
		}
		return set
	}
	for what, set := range map[string]model.Set{
		"not sorted":      parse("10.1.0.0/16", "10.0.0.0/16"),
		"twice":           parse("10.1.0.0/16", "10.1.0.0/16"),
		"overlapping":     parse("10.0.0.0/8", "10.1.0.0/16"),
		"the same begin":  parse("10.0.0.0/8", "10.0.0.0/16"),
		"IPv6 first":      parse("2001:db8::/32", "10.0.0.0/16"),
		"bits behind":     parse("10.1.0.1/16"),
		"everywhere":      parse("0.0.0.0/0"),
		"everywhere IPv6": parse("::/0"),
		"invalid":         {Prefixes: []netip.Prefix{{}}},
		"two kinds":       {Name: "x", Pods: []string{"y"}},
		"pods twice":      {Pods: []string{"a", "a"}},
		"pods unsorted":   {Pods: []string{"b", "a"}},
		"a nameless pod":  {Pods: []string{""}},
		"a long name":     {Name: strings.Repeat("x", 254)},
	} {
		if _, err := EncodeSet(set); !errors.Is(err, errSet) {
			t.Errorf("%s: %v", what, err)
		}
	}
	body := append([]byte{setPrefixes, 0, 0, 0, 2, 0, 0, 0, 0}, 10, 1, 0, 0, 16, 10, 0, 0, 0, 16)
	if _, err := DecodeSet(body); !errors.Is(err, errSet) {
		t.Errorf("unsorted on the wire: %v", err)
	}
}

func TestEmptyAndMissingAreTheSame(t *testing.T) {
	a := must(ManifestOf(&model.Ruleset{}))(t)
	b := must(ManifestOf(&model.Ruleset{
		Host: model.HostRules{Ingress: model.Chain{Rules: []model.HostRule{}}}, Pods: model.PodRules{Known: []string{}},
		Sets: map[model.SetID]model.Set{},
	}))(t)
	if a.Root() != b.Root() {
		t.Error("an empty list has another hash than none")
	}
	if must(HashSet(model.Set{Prefixes: []netip.Prefix{}}))(t) != must(HashSet(model.Set{}))(t) {
		t.Error("an empty set has another hash than none")
	}
}

func TestEachPartChangesTheRoot(t *testing.T) {
	roots := map[Hash]string{}
	for what, change := range map[string]func(*model.Ruleset){
		"nothing":      func(*model.Ruleset) {},
		"default":      func(rs *model.Ruleset) { rs.Host.Egress.Default = model.Reject },
		"known pods":   func(rs *model.Ruleset) { rs.Pods.Known = nil },
		"a set":        func(rs *model.Ruleset) { rs.Sets["cluster"] = model.Set{Prefixes: prefixes(0, 1)} },
		"a set's kind": func(rs *model.Ruleset) { rs.Sets["cluster"] = model.Set{Name: "cluster"} },
		"a set's name": func(rs *model.Ruleset) { delete(rs.Sets, "cluster"); rs.Sets["clutter"] = model.Set{} },
		"no set":       func(rs *model.Ruleset) { delete(rs.Sets, "cluster") },
	} {
		rs := example()
		change(rs)
		root := must(ManifestOf(rs))(t).Root()
		if other, ok := roots[root]; ok {
			t.Errorf("%s and %s have the same root", what, other)
		}
		roots[root] = what
	}
}

func TestLargeSetsAreSplitIntoFrames(t *testing.T) {
	set := model.Set{}
	for k := range 100_000 {
		set.Prefixes = append(set.Prefixes, netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, byte(k >> 16), byte(k >> 8), byte(k)}), 40))
	}
	rs := &model.Ruleset{Sets: map[model.SetID]model.Set{"big": set}}
	wire := must(AppendUpdate(nil, update(t, 1, rs)))(t)
	for rest := wire; len(rest) > 0; {
		n := int(rest[1])<<16 | int(rest[2])<<8 | int(rest[3])
		if n > MaxFrame {
			t.Fatalf("a frame of %d bytes", n)
		}
		rest = rest[frameHeader+n:]
	}
	got := must(must(Hold(nil))(t).Take(must(NewReader(bytes.NewReader(wire)).Update())(t)))(t)
	if !reflect.DeepEqual(got.Sets["big"], set) {
		t.Error("the set that came is another one")
	}
	t.Logf("%d prefixes of IPv6 are %d bytes on the wire", len(set.Prefixes), len(wire))
}

func TestLongReasonsAreCut(t *testing.T) {
	b := must(AppendAck(nil, Ack{Reason: strings.Repeat("ä", 5000)}))(t)
	_, ack, err := NewReader(bytes.NewReader(b)).FromNode()
	if err != nil || len(ack.Reason) == 0 || len(ack.Reason) > MaxReason {
		t.Errorf("%d bytes, %v", len(ack.Reason), err)
	}
}

func TestAnUnknownStateIsAFailure(t *testing.T) {
	b := must(AppendAck(nil, Ack{Revision: 3, State: "levitating", Reason: "wind"}))(t)
	_, ack, err := NewReader(bytes.NewReader(b)).FromNode()
	if err != nil || ack.State != StateFailed || !strings.Contains(ack.Reason, "levitating") || !strings.Contains(ack.Reason, "wind") {
		t.Errorf("got %+v, %v", ack, err)
	}
}

func ExampleHash() {
	hash, _ := HashSet(model.Set{Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	fmt.Printf("%.16s\n", hash)
	// Output: df3faba33e7f1572
}
