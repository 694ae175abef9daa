package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/plan"
	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// Bounds of the object's schema.
const (
	maxUplinks   = 16
	maxAbilities = 32
	maxMessage   = 512
)

// status is the report without times.
func status(in Input) v1alpha1.NodeBandwidthStatus {
	s := v1alpha1.NodeBandwidthStatus{
		Capacity: rates(in.capacity), Promised: rates(in.promised),
		Attribution: in.Attribution,
		Conditions:  []metav1.Condition{shaping(in), guaranteed(in)},
	}
	s.Abilities = slices.Compact(slices.Sorted(slices.Values(in.Abilities)))
	s.Abilities = s.Abilities[:min(len(s.Abilities), maxAbilities)]
	for i, u := range in.Node.Uplinks {
		if u.Device != "" && i < maxUplinks {
			s.Uplinks = append(s.Uplinks, uplink(u, in.Trouble))
		}
	}
	if len(in.Node.Uplinks) > 0 {
		s.Reserve = rates(func(d model.Direction) bitrate.Rate {
			if in.capacity(d) == 0 {
				return 0
			}
			return plan.Reserve(in.Node.Uplinks[0], d)
		})
	}
	s.Policies, s.PoliciesOmitted = policies(in)
	return s
}

func uplink(u model.Uplink, trouble string) v1alpha1.UplinkStatus {
	s := v1alpha1.UplinkStatus{
		Device: u.Device, State: v1alpha1.UplinkShaped,
		Egress: quantity(u.Rates[model.Egress]), Ingress: quantity(u.Rates[model.Ingress]),
	}
	switch {
	case u.Index == 0:
		s.State, s.Message = v1alpha1.UplinkMissing, "there is no such device"
	case trouble != "":
		s.State, s.Message = v1alpha1.UplinkFailed, bound(trouble)
	case u.Rates[model.Egress] == 0 && u.Rates[model.Ingress] == 0:
		s.State, s.Message = v1alpha1.UplinkCeilingsOnly, "its rate is not known: tell it with --uplink"
	}
	return s
}

func shaping(in Input) metav1.Condition {
	if in.Trouble != "" {
		return metav1.Condition{Type: v1alpha1.ConditionShaping, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonKernel, Message: bound(in.Trouble)}
	}
	return metav1.Condition{Type: v1alpha1.ConditionShaping, Status: metav1.ConditionTrue, Reason: "Planned", Message: "the kernel has what was planned"}
}

// guaranteed tells whether all that was promised and reserved fits.
func guaranteed(in Input) metav1.Condition {
	c := metav1.Condition{Type: v1alpha1.ConditionGuaranteed, Status: metav1.ConditionFalse}
	var unknown, over []string
	for _, d := range model.Directions {
		whole := in.capacity(d)
		reserved, _ := in.reserved(d)
		switch {
		case whole == 0:
			unknown = append(unknown, d.String())
		case reserved > whole:
			over = append(over, fmt.Sprintf("%s: pods have %s reserved, the uplink can promise %s", d, reserved.Human(), whole.Human()))
		}
	}
	for _, r := range in.Refusals {
		if r.Reason != v1alpha1.ReasonUplinkUnknown {
			over = append(over, fmt.Sprintf("pod %s/%s: %s", r.Namespace, r.Name, r.Message))
		}
	}
	switch {
	case len(over) > 0:
		c.Reason, c.Message = v1alpha1.ReasonOverPromised, bound(strings.Join(over, "; "))
	case len(unknown) > 0:
		c.Reason, c.Message = v1alpha1.ReasonUplinkUnknown, fmt.Sprintf("the uplink's rate is not known (%s): tell it with --uplink", strings.Join(unknown, ", "))
	default:
		c.Status, c.Reason, c.Message = metav1.ConditionTrue, "Fits", "all guarantees fit"
	}
	return c
}

func rates(of func(model.Direction) bitrate.Rate) v1alpha1.BandwidthRates {
	return v1alpha1.BandwidthRates{Egress: quantity(of(model.Egress)), Ingress: quantity(of(model.Ingress))}
}

// quantity is nil for none.
func quantity(r bitrate.Rate) *resource.Quantity {
	if r == 0 {
		return nil
	}
	q := resource.MustParse(cmp.Or(r.String(), "0"))
	return &q
}

// bound cuts a message to what the schema takes, at a whole character.
func bound(text string) string {
	if len(text) <= maxMessage {
		return text
	}
	return strings.ToValidUTF8(text[:maxMessage-3], "") + "..."
}
