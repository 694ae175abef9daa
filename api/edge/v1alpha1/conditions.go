package v1alpha1

// Conditions of a [BandwidthPolicy]; ConditionAccepted is one of an
// [EdgeFirewall] and of an [AddressSet], too.
const (
	// ConditionAccepted: the spec can be followed.
	ConditionAccepted = "Accepted"
	// ConditionApplied: all pods on all nodes have it; Unknown while nodes have
	// not reported this generation.
	ConditionApplied = "Applied"
	// ConditionConflicted: pods follow an older policy of the same rank that says
	// differently.
	ConditionConflicted = "Conflicted"
)

// Conditions of a [NodeBandwidth].
const (
	// ConditionShaping: what is in the kernel is what was planned.
	ConditionShaping = "Shaping"
	// ConditionGuaranteed: the uplink's rates are known and all guarantees fit.
	ConditionGuaranteed = "Guaranteed"
)

// ConditionEnforced of an [EdgeFirewall]: all nodes that it selects enforce this
// generation and have proven that they still reach a server.
const ConditionEnforced = "Enforced"

// ConditionCurrent of an [AddressSet]: all its sources could be read.
const ConditionCurrent = "Current"

// Reasons of the conditions of firewalls and address sets.
const (
	// ReasonEnforced: all selected nodes enforce it.
	ReasonEnforced = "Enforced"
	// ReasonNoNodes: it selects no node.
	ReasonNoNodes = "NoNodes"
	// ReasonRolledBack: nodes lost their server with it and went back.
	ReasonRolledBack = "RolledBack"
	// ReasonFailed: nodes could not apply it.
	ReasonFailed = "Failed"
	// ReasonAddressSetMissing: it names a set that does not exist.
	ReasonAddressSetMissing = "AddressSetMissing"
	// ReasonTooMany: the sources together have more than a set may have.
	ReasonTooMany = "TooMany"
	// ReasonCurrent: all sources could be read.
	ReasonCurrent = "Current"
	// ReasonSourceFailed: a source could not be read; what it had before counts.
	ReasonSourceFailed = "SourceFailed"
)

// NodeConditionBandwidth is the condition in the status of the node itself.
const NodeConditionBandwidth = "KedgeBandwidth"

// Reasons of the conditions of a policy.
const (
	ReasonAccepted = "Accepted"
	// ReasonInvalid: the selector cannot be read.
	ReasonInvalid = "Invalid"
	ReasonApplied = "Applied"
	// ReasonNoPods: no node reports a pod that the policy chooses.
	ReasonNoPods = "NoPods"
	// ReasonPending: nodes have yet to report this generation.
	ReasonPending = "Pending"
	// ReasonNodesSilent: nodes are not ready; they go on with what they know.
	ReasonNodesSilent = "NodesSilent"
	// ReasonPodsRefused: pods do not get all of it, see status.refusals.
	ReasonPodsRefused = "PodsRefused"
	ReasonNoConflict  = "NoConflict"
	// ReasonOlderPolicy: for some pods an older policy of the same rank counts.
	ReasonOlderPolicy = "OlderPolicy"
)

// Reasons of refusals and of events about pods.
const (
	// ReasonOverPromised: the guarantees of the node's pods exceed its capacity.
	ReasonOverPromised = "OverPromised"
	// ReasonMinAboveMax: a guarantee exceeds the ceiling that a stronger source sets.
	ReasonMinAboveMax = "MinAboveMax"
	// ReasonConflict: an older policy of the same rank says differently.
	ReasonConflict = "Conflict"
	// ReasonInvalidValue: an annotation is no quantity, or out of range.
	ReasonInvalidValue = "InvalidValue"
	// ReasonUnknownKey: nobody reads this annotation.
	ReasonUnknownKey = "UnknownKey"
	// ReasonUnknownContainer: the pod has no such container.
	ReasonUnknownContainer = "UnknownContainer"
	// ReasonUplinkUnknown: no rate of the uplink is known, nothing can be promised.
	ReasonUplinkUnknown = "UplinkUnknown"
	// ReasonKernel: the kernel cannot do it or refused.
	ReasonKernel = "Kernel"
)
