package flow

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T) *Server {
	t.Helper()
	s, err := Serve("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestStreamsArriveWholeInBothDirections(t *testing.T) {
	s := serve(t)
	for _, in := range []bool{false, true} {
		r := Job{Kind: TCP, To: s.Addr(), In: in, Streams: 3, Seconds: 0.3}.Run(t.Context())
		var binned int64
		for _, b := range r.Bins {
			binned += b
		}
		if r.Error != "" || r.Bytes < 1<<20 || binned != r.Bytes {
			t.Errorf("in %t: %+v", in, r)
		}
	}
}

func TestDatagramsAreCountedWhereTheyArrive(t *testing.T) {
	s := serve(t)
	const rate, size = 8_000_000, 500
	for _, in := range []bool{false, true} {
		r := Job{Kind: UDP, To: s.Addr(), In: in, Rate: rate, Size: size, Seconds: 0.3}.Run(t.Context())
		if r.Error != "" || r.Sent < 10 || r.Sent > 660 || r.Lost() != 0 || r.Bytes != r.Sent*size || int64(r.Delays.N) != r.Sent {
			t.Errorf("in %t: %+v", in, r)
		}
	}
}

func TestEchoesComeBack(t *testing.T) {
	s := serve(t)
	for _, kind := range []string{Echo, EchoTCP} {
		r := Job{Kind: kind, To: s.Addr(), Size: 100, Interval: 10 * time.Millisecond, Seconds: 0.2}.Run(t.Context())
		if r.Error != "" || r.Sent < 5 || r.Lost() != 0 || r.Delays.P50 <= 0 {
			t.Errorf("%s: %+v", kind, r)
		}
	}
}

func TestWhatFailedIsInTheResult(t *testing.T) {
	s := serve(t)
	closed := serve(t)
	closed.Close()
	for _, c := range []struct {
		job  Job
		want string
	}{
		{Job{Kind: "nonsense"}, "not known"},
		{Job{Kind: TCP, To: closed.Addr(), Seconds: 0.1}, "refused"},
		{Job{Kind: UDP, To: s.Addr(), Size: 1, Rate: 1}, "want at least"},
		{Job{Kind: Echo, To: s.Addr()}, "want at least"},
	} {
		if r := c.job.Run(t.Context()); !strings.Contains(r.Error, c.want) {
			t.Errorf("%+v: %q, want %q", c.job, r.Error, c.want)
		}
	}
}

func TestOtherBytesThanThePatternAreFound(t *testing.T) {
	good := append([]byte{}, piece(patternSize-10, 10)...)
	good = append(good, piece(0, 100)...)
	if err := check(patternSize-10, good); err != nil {
		t.Error(err)
	}
	for name, b := range map[string][]byte{
		"a byte changed": append(append([]byte{}, good[:50]...), good[50]+1),
		"a byte missing": append(append([]byte{}, good[:50]...), good[51:]...),
		"a piece twice":  append(append([]byte{}, good[:50]...), good[:50]...),
	} {
		if check(patternSize-10, b) == nil {
			t.Errorf("%s: not found", name)
		}
	}
}
