package shortage

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	resourcehelper "k8s.io/component-helpers/resource"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/kedge-io/kedge/api/edge/v1alpha1"
	"github.com/kedge-io/kedge/internal/bitrate"
)

// Name is the plugin's in the scheduler's configuration.
const Name = "BandwidthShortage"

// maxNodes is how many nodes a message names: an event has room for 1024
// bytes, and the message shares them with the scheduler's own words.
const maxNodes = 3

// directions are the resources and what people call them.
var directions = []struct {
	resource corev1.ResourceName
	name     string
}{{v1alpha1.ResourceEgress, "egress"}, {v1alpha1.ResourceIngress, "ingress"}}

type plugin struct{ handle fwk.Handle }

var _ fwk.PostFilterPlugin = plugin{}

// New makes the plugin. It has no configuration.
func New(_ context.Context, _ runtime.Object, handle fwk.Handle) (fwk.Plugin, error) {
	return plugin{handle}, nil
}

// Name returns [Name].
func (plugin) Name() string { return Name }

// PostFilter never makes a pod schedulable, it only says something.
func (p plugin) PostFilter(_ context.Context, _ fwk.CycleState, pod *corev1.Pod, verdicts fwk.NodeToStatusReader) (*fwk.PostFilterResult, *fwk.Status) {
	return nil, fwk.NewStatus(fwk.Unschedulable, explain(pod, verdicts, p.handle.SnapshotSharedLister().NodeInfos())...)
}

// explain has one sentence for each direction in which a node is too small.
func explain(pod *corev1.Pod, verdicts fwk.NodeToStatusReader, nodes fwk.NodeInfoLister) []string {
	requests := resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})
	var out []string
	for _, d := range directions {
		needed, ok := requests[d.resource]
		if !ok || needed.IsZero() {
			continue
		}
		if short := tooSmall(d.resource, verdicts, nodes); len(short) > 0 {
			out = append(out, sentence(d.name, rate(needed.Value()), short))
		}
	}
	return out
}

// room is what is free on one node, and of how much.
type room struct {
	node        string
	free, whole bitrate.Rate
}

// tooSmall are the nodes that were refused for want of the resource, the one
// with most room first.
func tooSmall(resource corev1.ResourceName, verdicts fwk.NodeToStatusReader, nodes fwk.NodeInfoLister) []room {
	reason := "Insufficient " + string(resource)
	var out []room
	for _, code := range []fwk.Code{fwk.Unschedulable, fwk.UnschedulableAndUnresolvable} {
		infos, err := verdicts.NodesForStatusCode(nodes, code)
		if err != nil {
			continue // the scheduler's own words remain
		}
		for _, info := range infos {
			if !slices.Contains(verdicts.Get(info.Node().Name).Reasons(), reason) {
				continue
			}
			whole := info.GetAllocatable().GetScalarResources()[resource]
			free := whole - info.GetRequested().GetScalarResources()[resource]
			out = append(out, room{info.Node().Name, rate(free), rate(whole)})
		}
	}
	slices.SortFunc(out, func(a, b room) int { return cmp.Or(cmp.Compare(b.free, a.free), cmp.Compare(a.node, b.node)) })
	return out
}

func sentence(direction string, needed bitrate.Rate, short []room) string {
	var parts []string
	for _, r := range short[:min(len(short), maxNodes)] {
		if r.whole == 0 {
			parts = append(parts, r.node+" can promise nothing")
			continue
		}
		parts = append(parts, fmt.Sprintf("%s has %s of %s free", r.node, r.free.Human(), r.whole.Human()))
	}
	if more := len(short) - len(parts); more > 0 {
		parts = append(parts, fmt.Sprintf("%d others have no more", more))
	}
	return fmt.Sprintf("Needs %s %s guaranteed: %s", needed.Human(), direction, strings.Join(parts, ", "))
}

// rate of a number of kbit/s; negative is none.
func rate(kbps int64) bitrate.Rate { return bitrate.Rate(max(kbps, 0)) * bitrate.Kbit }
