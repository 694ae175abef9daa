package bitrate

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
)

func TestParseTakesWhatKubernetesTakes(t *testing.T) {
	for s, want := range map[string]Rate{
		"1k": 1000, "10M": 10 * Mbit, "1.5G": 1500 * Mbit, "512Ki": 512 << 10, "2e6": 2 * Mbit,
		"1P": Pbit, "1000": 1000, "1000.5": 1001, "0.001M": 1000,
	} {
		got, err := Parse(s)
		if err != nil || got != want {
			t.Errorf("Parse(%q) = %d, %v; want %d", s, got, err, want)
		}
	}
}

func TestParseSaysWhatWouldBeRight(t *testing.T) {
	for s, want := range map[string]string{
		"":           "such as 500k, 10M or 1G",
		"fast":       `"fast" is not a quantity`,
		"10Mbit":     "(here 10M)",
		"10 Mbit/s":  "(here 10M)",
		"10Kbps":     "(here 10k)",
		"0":          "at least 1k",
		"-5M":        "at least 1k",
		"999":        "at least 1k",
		"10m":        "M a million",
		"1001T":      "at most 1P",
		"9999999E":   "at most 1P",
		"10M extra ": "is not a quantity",
	} {
		got, err := Parse(s)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q) = %d, %v; want an error with %q", s, got, err, want)
		}
	}
}

func TestRatesAreWrittenForProgramsAndForPeople(t *testing.T) {
	for r, want := range map[Rate][2]string{
		0:                 {"0", "0 bit/s"},
		7:                 {"7", "7 bit/s"},
		1000:              {"1k", "1 kbit/s"},
		1_500_000:         {"1500k", "1.5 Mbit/s"},
		10 * Mbit:         {"10M", "10 Mbit/s"},
		999_950:           {"999950", "1 Mbit/s"},
		9_512_345:         {"9512345", "9.51 Mbit/s"},
		95_400_000:        {"95400k", "95.4 Mbit/s"},
		124_800 * Kbit:    {"124800k", "125 Mbit/s"},
		Gbit:              {"1G", "1 Gbit/s"},
		Pbit:              {"1P", "1 Pbit/s"},
		512 << 10:         {"524288", "524 kbit/s"},
		Tbit - 1:          {"999999999999", "1 Tbit/s"},
		2*Gbit + 10*Mbit:  {"2010M", "2.01 Gbit/s"},
		20*Gbit + 40*Mbit: {"20040M", "20 Gbit/s"},
	} {
		if got := [2]string{r.String(), r.Human()}; got != want {
			t.Errorf("%d is written %q, want %q", uint64(r), got, want)
		}
	}
}

func TestRatesSurviveJSON(t *testing.T) {
	type doc struct {
		Max  Rate `json:"max,omitempty"`
		Tiny Rate `json:"tiny"`
	}
	text, err := json.Marshal(doc{Tiny: 12})
	if err != nil || string(text) != `{"tiny":"12"}` {
		t.Errorf("got %s, %v", text, err)
	}
	var d doc
	if err := json.Unmarshal([]byte(`{"max":"10M","tiny":""}`), &d); err != nil || d.Max != 10*Mbit || d.Tiny != 0 {
		t.Errorf("got %+v, %v", d, err)
	}
	if err := json.Unmarshal([]byte(`{"max":"10 turtles"}`), &d); err == nil {
		t.Error("nonsense was taken")
	}
}

func TestBytesOfATime(t *testing.T) {
	for _, c := range []struct {
		r    Rate
		d    time.Duration
		want uint64
	}{
		{10 * Mbit, 20 * time.Millisecond, 25_000},
		{8, time.Second, 1},
		{7, time.Second, 0},
		{Mbit, -time.Second, 0},
		{Pbit, 100_000 * time.Hour, math.MaxUint64}, // 4.5e22 bytes
	} {
		if got := c.r.Bytes(c.d); got != c.want {
			t.Errorf("%s in %s: %d bytes, want %d", c.r, c.d, got, c.want)
		}
	}
}

func TestPartsOfARate(t *testing.T) {
	if got := (100 * Mbit).Part(95, 100); got != 95*Mbit {
		t.Errorf("got %s", got)
	}
	if got := Rate(math.MaxUint64).Part(1, 1); got != math.MaxUint64 {
		t.Errorf("got %s", got)
	}
}

// FuzzRate holds Parse to its bounds and every rate to its text.
func FuzzRate(f *testing.F) {
	for _, s := range []string{"10M", "1k", "1P", "1.5Gi", "10m", "1e3", "+5M", "", "10Mbit/s", "1e400"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Parse(s)
		if err != nil {
			return
		}
		if r < Min || r > Max {
			t.Fatalf("Parse(%q) = %d is out of bounds", s, uint64(r))
		}
		if again, err := Parse(r.String()); err != nil || again != r {
			t.Fatalf("%q is %d, its text %q is %d, %v", s, uint64(r), r, uint64(again), err)
		}
		if r.Human() == "" {
			t.Fatal("no text for people")
		}
	})
}
