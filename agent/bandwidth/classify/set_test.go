//go:build namespace

package classify

import "testing"

func TestAllProgramsLoad(t *testing.T) {
	a, err := Probe()
	if err != nil {
		t.Fatal(err)
	}
	t.Log(a)
	for _, a := range []Abilities{a, {}, {Senders: true}, {Senders: true, Receivers: true}, {Routes: true}} {
		s, err := Load(a)
		if err != nil {
			t.Fatalf("%+v: %+v", a, err)
		}
		for _, h := range Hooks {
			info, err := s.programs[h].Info()
			if err != nil {
				t.Fatal(err)
			}
			insns, _ := info.VerifiedInstructions()
			size, _ := info.TranslatedSize()
			t.Log(h, s.Name(h), s.ID(h), "verified", insns, "instructions", size/8)
		}
		s.Close()
	}
}
