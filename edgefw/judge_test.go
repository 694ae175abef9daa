package edgefw

import (
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/kedge-io/kedge/edgefw/model"
	"github.com/kedge-io/kedge/edgefw/store"
)

// candidateOf is a version of the host's rules.
func candidateOf(t *testing.T, revision uint64, version string) candidate {
	t.Helper()
	c, err := newCandidate(revision, rules(version, nil), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAProofOfOtherRulesProvesNothing(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	j := newJudge(candidateOf(t, 1, "good"), nil)
	first, second := candidateOf(t, 2, "first"), candidateOf(t, 3, "second")
	j.applied(first, now)
	j.applied(second, now.Add(time.Second))
	if v := j.reached(first, now.Add(2*time.Second)); v != nothingNew || j.phase != trial || j.proven.revision != 1 {
		t.Errorf("the verdict is %d, proven is %d", v, j.proven.revision)
	}
	if v := j.reached(second, now.Add(3*time.Second)); v != accepted || j.proven.revision != 3 {
		t.Errorf("the verdict is %d, proven is %d", v, j.proven.revision)
	}
}

func TestWhatIsRefusedIsBounded(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	j := newJudge(candidateOf(t, 1, "good"), nil)
	for i := range 2 * maxRefused {
		j.asked = uint64(2 + i)
		j.applied(candidateOf(t, j.asked, "bad-"+string(rune('a'+i))), now)
		j.unreached("cut off", now)
		j.applied(j.proven, now)
		j.reached(j.proven, now)
	}
	if n := len(j.refused); n != maxRefused || j.refused[n-1].Revision != 1+2*maxRefused {
		t.Errorf("%d are remembered", n)
	}
}

func TestTheResultOfAProofThatWasGivenUpDoesNotCount(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		l := w.loop
		l.judge.applied(candidateOf(t, 2, "bad"), time.Now())
		l.proofs.stop()
		l.conclude(proof{tested: l.judge.enforced, epoch: l.proofs.epoch - 1})
		if l.judge.phase != trial {
			t.Error("it counts")
		}
	})
}

func TestADamagedFileStaysUntilRulesWereProven(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.stop()
		const damaged = `{"version":1`
		if err := os.WriteFile(w.file, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		w.start()
		w.loop.saver.due = time.Now() // as after a change of pods
		w.loop.saver.write(&store.State{Ruleset: &model.Ruleset{}}, true)
		if got, err := os.ReadFile(w.file); err != nil || string(got) != damaged {
			t.Errorf("the file has %s, %v", got, err)
		}
	})
}

func TestAFormerStreamIsNotBelieved(t *testing.T) {
	l := &Loop{wake: make(chan struct{}, 1)}
	l.stream = &stream{}
	if l.offer(&stream{}, &incoming{revision: 7}) || l.incoming != nil {
		t.Error("what it said is wished for")
	}
}

func TestANameHasSoManyAddresses(t *testing.T) {
	n := newNames(nil, map[string][]netip.Addr{"a.example": nil}, func() {})
	var addrs []netip.Addr
	for i := range byte(2 * maxNameAddrs) {
		addrs = append(addrs, netip.AddrFrom4([4]byte{192, 0, 2, i}))
	}
	n.found("a.example", addrs[:maxNameAddrs])
	n.found("a.example", addrs[maxNameAddrs:])
	all := n.of(map[model.SetID]model.Set{"dns/a": {Name: "a.example"}})["a.example"]
	if len(all) != maxNameAddrs || !slices.Contains(all, addrs[len(addrs)-1]) {
		t.Errorf("it has %d", len(all))
	}
}
