package bitrate

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Rate is a bandwidth in bits per second. Zero means none was given.
type Rate uint64

// Decimal multiples of one bit per second.
const (
	Kbit Rate = 1_000
	Mbit      = 1_000 * Kbit
	Gbit      = 1_000 * Mbit
	Tbit      = 1_000 * Gbit
	Pbit      = 1_000 * Tbit
)

// Bounds of a rate that somebody asks for, those of the annotations
// kubernetes.io/ingress-bandwidth and kubernetes.io/egress-bandwidth in upstream's
// pkg/util/bandwidth.
const (
	Min = Kbit
	Max = Pbit
)

// units are those of Kubernetes, with what people call them.
var units = []struct {
	of           Rate
	suffix, name string
}{
	{Pbit, "P", "Pbit/s"}, {Tbit, "T", "Tbit/s"}, {Gbit, "G", "Gbit/s"}, {Mbit, "M", "Mbit/s"}, {Kbit, "k", "kbit/s"}, {1, "", "bit/s"},
}

// String is the rate as a quantity without loss: "10M", "1500k", "0".
func (r Rate) String() string {
	for _, u := range units {
		if r >= u.of && r%u.of == 0 {
			return strconv.FormatUint(uint64(r/u.of), 10) + u.suffix
		}
	}
	return "0"
}

// Human is the rate with three digits and a unit: "10 Mbit/s", "1.5 Mbit/s".
func (r Rate) Human() string {
	for i, u := range units {
		if r < u.of {
			continue
		}
		v := float64(r) / float64(u.of)
		// 999,950 bit/s are 1 Mbit/s in three digits, not 1e+03 kbit/s.
		if v >= 999.5 && i > 0 {
			u, v = units[i-1], 1
		}
		return three(v) + " " + u.name
	}
	return "0 bit/s"
}

// three writes 1 to 999 with three digits, without zeros at the end.
func three(v float64) string {
	places := 2
	for limit := 9.995; v >= limit && places > 0; limit *= 10 {
		places--
	}
	text := strconv.FormatFloat(v, 'f', places, 64)
	if places > 0 {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

// Bytes is how many bytes pass in d, rounded down; at most the largest uint64.
// It is 0 for a d below zero.
func (r Rate) Bytes(d time.Duration) uint64 {
	hi, lo := bits.Mul64(uint64(r), uint64(max(d, 0)))
	const divisor = 8 * uint64(time.Second)
	if hi >= divisor {
		return math.MaxUint64
	}
	n, _ := bits.Div64(hi, lo, divisor)
	return n
}

// Part is n parts of "of" of the rate, rounded down; "of" is not zero and n is
// at most "of".
func (r Rate) Part(n, of uint64) Rate {
	if n > of || of == 0 {
		panic(fmt.Sprintf("bitrate: %d parts of %d", n, of))
	}
	hi, lo := bits.Mul64(uint64(r), n)
	q, _ := bits.Div64(hi, lo, of)
	return Rate(q)
}
