package protocol

import (
	"bytes"
	"testing"
)

// FuzzUpdate: whatever a server sends, a node either refuses it and keeps what
// it has, or has what the hash says.
func FuzzUpdate(f *testing.F) {
	whole := must(AppendUpdate(nil, update(f, 3, example())))(f)
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	d, _ := Diff(must(HashSet(example().Sets["set/offices"]))(f), example().Sets["set/offices"], example().Sets["cluster"])
	f.Add(must(AppendUpdate(nil, Update{Revision: 4, Parts: []Part{{Kind: KindDelta, Set: "set/offices", Body: d.Encode()}}}))(f))
	f.Fuzz(func(t *testing.T, wire []byte) {
		r := NewReader(bytes.NewReader(wire))
		hold := must(Hold(example()))(t)
		for {
			before := hold.Ruleset()
			u, err := r.Update()
			if err != nil {
				return
			}
			rs, err := hold.Take(u)
			if err != nil {
				if hold.Ruleset() != before {
					t.Fatal("a refused update changed what is held")
				}
				continue
			}
			if hold.Manifest().Root() != u.Root {
				t.Fatal("what is held is not what the hash says")
			}
			if _, err := EncodeHost(rs.Host); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzFromNode: whatever a node sends, the server reads words or an error.
func FuzzFromNode(f *testing.F) {
	f.Add(must(AppendHello(nil, must(Hold(example()))(f).Hello(1, "v1")))(f))
	f.Add(must(AppendAck(nil, Ack{Revision: 1, State: StateProven, Reason: "x"}))(f))
	f.Fuzz(func(t *testing.T, wire []byte) {
		r := NewReader(bytes.NewReader(wire))
		for {
			hello, ack, err := r.FromNode()
			if err != nil {
				return
			}
			if (hello == nil) == (ack == nil) {
				t.Fatal("neither one nor the other")
			}
		}
	})
}

// FuzzSet: bytes that are read as a set are its canonical ones.
func FuzzSet(f *testing.F) {
	for _, set := range example().Sets {
		f.Add(must(EncodeSet(set))(f))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		set, err := DecodeSet(body)
		if err != nil {
			return
		}
		again, err := EncodeSet(set)
		if err != nil || !bytes.Equal(again, body) {
			t.Fatalf("%x became %x, %v", body, again, err)
		}
	})
}

// FuzzDelta: a delta that fits leads to a canonical set, and back.
func FuzzDelta(f *testing.F) {
	a := example().Sets["set/offices"]
	d, _ := Diff(Hash{}, a, example().Sets["cluster"])
	f.Add(d.Encode())
	f.Add(Delta{Add: prefixes(50, 2), Remove: prefixes(1, 1)}.Encode())
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := DecodeDelta(body)
		if err != nil {
			return
		}
		if !bytes.Equal(d.Encode(), body) {
			t.Fatal("a delta has two forms")
		}
		b, err := d.Apply(a)
		if err != nil {
			return
		}
		if _, err := EncodeSet(b); err != nil {
			return // what was added overlaps
		}
		back, err := Delta{Remove: d.Add, Add: d.Remove}.Apply(b)
		if err != nil || must(HashSet(back))(t) != must(HashSet(a))(t) {
			t.Fatalf("the way back fails: %v", err)
		}
	})
}
