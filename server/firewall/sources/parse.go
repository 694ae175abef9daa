package sources

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
)

// maxLine is how long a line may be, in bytes, comments included.
const maxLine = 4096

// ParseList reads one address or range a line. What follows # or ; is for people,
// as are empty lines. A range may be written with any of its addresses. The
// result is sorted and without repetitions; errors name the line. More than
// [v1alpha1.MaxAddresses] are an error.
func ParseList(r io.Reader) ([]netip.Prefix, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	var all []netip.Prefix
	n := 0
	for lines.Scan() {
		n++
		text := lines.Text()
		if n == 1 {
			text = strings.TrimPrefix(text, "\ufeff")
		}
		if i := strings.IndexAny(text, "#;"); i >= 0 {
			text = text[:i]
		}
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		p, err := parseAddress(text)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if len(all) == v1alpha1.MaxAddresses {
			return nil, fmt.Errorf("line %d: more than %d addresses and ranges: join neighbouring ranges, or use several sets", n, v1alpha1.MaxAddresses)
		}
		all = append(all, p)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", n+1, err)
	}
	return sorted(all), nil
}

// Addresses reads those of an object's spec. The result is sorted and without
// repetitions; errors name the field.
func Addresses(texts []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for i, text := range texts {
		p, err := parseAddress(text)
		if err != nil {
			return nil, fmt.Errorf("spec.addresses[%d]: %w", i, err)
		}
		all = append(all, p)
	}
	return sorted(all), nil
}

// parseAddress reads an address or a range.
func parseAddress(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if a, e := netip.ParseAddr(text); e == nil {
		p, err = netip.PrefixFrom(a.WithZone(""), a.BitLen()), nil
		if a.Zone() != "" {
			err = fmt.Errorf("zone %s", a.Zone())
		}
	}
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%.60q is neither an address nor a range: write for instance 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32", text)
	}
	return p.Masked(), nil
}

// sorted sorts in place and takes repetitions out.
func sorted(all []netip.Prefix) []netip.Prefix {
	slices.SortFunc(all, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	return slices.Compact(all)
}

// unpacked reads raw, which may be packed with gzip, up to
// [v1alpha1.MaxListBytes].
func unpacked(raw []byte) ([]byte, error) {
	if !bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
		return raw, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	return bounded(z)
}

// bounded reads all of r, or fails if that is more than a list may have.
func bounded(r io.Reader) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, v1alpha1.MaxListBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the list: %w", err)
	}
	if len(raw) > v1alpha1.MaxListBytes {
		return nil, fmt.Errorf("the list has more than %d MiB: take comments out, or use several sets", v1alpha1.MaxListBytes>>20)
	}
	return raw, nil
}
