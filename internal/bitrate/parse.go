package bitrate

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Parse reads a quantity of Kubernetes in bits per second: "10M", "1.5G",
// "512Ki", "2e6". Fractions of a bit are rounded up, as upstream does. The error
// names the value and what would be right.
func Parse(s string) (Rate, error) {
	q, err := resource.ParseQuantity(s)
	if err != nil {
		return 0, fmt.Errorf("bandwidth %q is not a quantity: expected a number of bits per second such as 500k, 10M or 1G%s", s, hint(s))
	}
	r, err := FromQuantity(q)
	if err != nil && strings.HasSuffix(s, "m") {
		return 0, fmt.Errorf("%w; m is a thousandth, M a million", err)
	}
	return r, err
}

// hint tells those who wrote a unit how to write it here.
func hint(s string) string {
	number := strings.TrimSpace(s)
	lower := strings.ToLower(number)
	for _, unit := range []string{"bit/s", "bits/s", "bps", "bit", "b/s"} {
		if !strings.HasSuffix(lower, unit) {
			continue
		}
		number = strings.TrimSpace(number[:len(number)-len(unit)])
		if strings.HasSuffix(number, "K") {
			number = strings.TrimSuffix(number, "K") + "k"
		}
		number = strings.ReplaceAll(number, " ", "")
		if _, err := resource.ParseQuantity(number); err == nil {
			return fmt.Sprintf(" (here %s)", number)
		}
	}
	return ""
}

// FromQuantity is the rate of a quantity in bits per second, from [Min] to [Max].
func FromQuantity(q resource.Quantity) (Rate, error) {
	switch {
	case q.CmpInt64(int64(Min)) < 0:
		return 0, fmt.Errorf("bandwidth %q is out of range: expected at least 1k (1 kbit/s)", q.String())
	case q.CmpInt64(int64(Max)) > 0:
		return 0, fmt.Errorf("bandwidth %q is out of range: expected at most 1P (1 Pbit/s)", q.String())
	}
	return Rate(q.Value()), nil
}

// MarshalText is [Rate.String], so that JSON and YAML have "10M".
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what MarshalText wrote, and any quantity that [Parse]
// takes; "" and "0" are none. What kedge has computed may be below [Min].
func (r *Rate) UnmarshalText(text []byte) error {
	s := string(text)
	if s == "" || s == "0" {
		*r = 0
		return nil
	}
	q, err := resource.ParseQuantity(s)
	if err == nil && q.Sign() > 0 && q.CmpInt64(int64(Min)) < 0 {
		*r = Rate(q.Value())
		return nil
	}
	v, err := Parse(s)
	if err != nil {
		return err
	}
	*r = v
	return nil
}
