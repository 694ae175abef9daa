package bandwidth

import (
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/kedge-io/kedge/agent/bandwidth/model"
	"github.com/kedge-io/kedge/agent/bandwidth/shape"
)

// Reasons of the node's condition, and of events about its changes.
const (
	ReasonShaped        = "BandwidthShaped"
	ReasonCeilingsOnly  = "BandwidthCeilingsOnly"
	ReasonKernelLacks   = "BandwidthKernelLacks"
	ReasonNotApplied    = "BandwidthNotApplied"
	ReasonPodsUnknown   = "BandwidthPodsUnknown"
	ReasonUplinkMissing = "BandwidthUplinkMissing"
	ReasonUplinkInvalid = "BandwidthUplinkInvalid"
)

// verdict is how bandwidth is on the node, in the words of its condition.
type verdict struct {
	status          corev1.ConditionStatus
	reason, message string
}

// longest in bytes bounds a message: one about each of 200 pods would be in every
// copy of the Node.
const longest = 1024

func trouble(reason, message string) verdict {
	if len(message) > longest {
		message = strings.ToValidUTF8(message[:longest], "") + " ..."
	}
	return verdict{corev1.ConditionFalse, reason, message}
}

// judge sums up a pass: err is why the kernel is not as planned, lost what is not
// known of pods that run, uplinkErr what of a person's words about uplinks cannot
// be followed.
func judge(uplinks []model.Uplink, err, lost, uplinkErr error) verdict {
	var missing, unknown []string
	for _, u := range uplinks {
		switch {
		case u.Device != "" && u.Index == 0:
			missing = append(missing, u.Device)
		case u.Rates[model.Egress] == 0 || u.Rates[model.Ingress] == 0:
			unknown = append(unknown, u.Device)
		}
	}
	lacks := (*shape.Missing)(nil)
	switch {
	case errors.As(err, &lacks):
		return trouble(ReasonKernelLacks, "no bandwidth is limited or guaranteed on this node: "+err.Error())
	case err != nil:
		return trouble(ReasonNotApplied, "the kernel is not as planned, tried again: "+err.Error())
	case lost != nil:
		return trouble(ReasonPodsUnknown, "not all pods are limited and guaranteed as wished: "+lost.Error())
	case len(missing) > 0:
		return trouble(ReasonUplinkMissing, fmt.Sprintf("there is no device %s: nothing is guaranteed there until it comes, ceilings of pods hold", strings.Join(missing, ", ")))
	case uplinkErr != nil:
		return trouble(ReasonUplinkInvalid, uplinkErr.Error())
	case len(unknown) == len(uplinks):
		return verdict{corev1.ConditionTrue, ReasonCeilingsOnly, "ceilings hold; the rate of the uplink is not known, so nothing can be guaranteed: tell it with --uplink DEV=EGRESS/INGRESS"}
	}
	return verdict{corev1.ConditionTrue, ReasonShaped, "guarantees and ceilings hold"}
}

// err is what kedge status shows, nil where all is well.
func (v verdict) err() error {
	if v.status == corev1.ConditionTrue {
		return nil
	}
	return errors.New(v.message)
}
