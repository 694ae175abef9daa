package bandwidth

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/shape"
	"github.com/kedge-io/kedge/internal/bitrate"
)

func TestVerdictNamesTheWorstTrouble(t *testing.T) {
	known := [2]bitrate.Rate{100 * bitrate.Mbit, 100 * bitrate.Mbit}
	there := model.Uplink{Device: "eth0", Index: 2, Rates: known}
	gone := model.Uplink{Device: "wwan0", Rates: known}
	unknown := model.Uplink{Device: "eth1", Index: 3}
	noIFB := fmt.Errorf("apply: %w", &shape.Missing{What: "IFB devices", Module: "ifb", Err: errors.New("operation not supported")})
	cases := []struct {
		name                 string
		uplinks              []model.Uplink
		err, lost, uplinkErr error
		status               corev1.ConditionStatus
		reason, holds        string
	}{
		{"all well", []model.Uplink{there}, nil, nil, nil, corev1.ConditionTrue, ReasonShaped, ""},
		{"no rate", []model.Uplink{unknown}, nil, nil, nil, corev1.ConditionTrue, ReasonCeilingsOnly, "--uplink"},
		{"no uplink", []model.Uplink{{}}, nil, nil, nil, corev1.ConditionTrue, ReasonCeilingsOnly, ""},
		{"one of two gone", []model.Uplink{there, gone}, nil, nil, nil, corev1.ConditionFalse, ReasonUplinkMissing, "wwan0"},
		{"bad words", []model.Uplink{there}, nil, nil, errors.New("--uplink-reserve: no cgroup /bird"), corev1.ConditionFalse, ReasonUplinkInvalid, "/bird"},
		{"a pod not found", []model.Uplink{there}, nil, errors.New("pod default/web: no such link"), nil, corev1.ConditionFalse, ReasonPodsUnknown, "default/web"},
		{"kernel without IFB", []model.Uplink{gone}, noIFB, nil, nil, corev1.ConditionFalse, ReasonKernelLacks, "modprobe ifb"},
		{"refused", []model.Uplink{there}, errors.New("class 6b65:20: invalid argument"), nil, nil, corev1.ConditionFalse, ReasonNotApplied, "6b65:20"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v := judge(c.uplinks, c.err, c.lost, c.uplinkErr)
			if v.status != c.status || v.reason != c.reason || !strings.Contains(v.message, c.holds) {
				t.Errorf("the verdict is %+v, want %s %s with %q", v, c.status, c.reason, c.holds)
			}
			if (v.err() == nil) != (c.status == corev1.ConditionTrue) {
				t.Errorf("its error is %v", v.err())
			}
		})
	}
}

func TestAVerdictOnManyPodsIsShort(t *testing.T) {
	v := judge(nil, nil, errors.New(strings.Repeat("pod default/w\u00e9b: no such link\n", 300)), nil)
	if len(v.message) > longest+10 || !strings.HasSuffix(v.message, " ...") || !utf8.ValidString(v.message) {
		t.Errorf("%d bytes: %q", len(v.message), v.message)
	}
}
