// Package metrics exports the bandwidth of a node as Prometheus metrics. Rates
// are bits per second, bytes have the headers of Ethernet.
//
//	kedge_bandwidth_up                       1 while the figures can be read
//	kedge_bandwidth_uplink_rate              what a line carries, if it is known
//	kedge_bandwidth_uplink_capacity          what can be promised to pods
//	kedge_bandwidth_uplink_promised          what is promised to them
//	kedge_bandwidth_class_FIGURE             root, control and host
//	kedge_bandwidth_pod_FIGURE               a pod with all of its containers
//	kedge_bandwidth_container_FIGURE         a container that has limits
//	kedge_bandwidth_change_duration_seconds  from a change of what is wished to the kernel
//	kedge_bandwidth_mended_total             what others had changed and was put right
//
// FIGURE is bytes_total, packets_total, drops_total, overlimits_total,
// backlog_bytes, min and max. Each has the labels uplink, direction (egress or
// ingress) and scope: uplink for what crosses it, local for what stays on the
// node, where only ceilings hold. Min and max of pods and containers are what
// they are to get, and absent where nobody said anything; those of classes are
// what the kernel was told. kedge_bandwidth_pod_granted is the part of min that
// holds.
//
// The figures are read at each scrape. The package does not listen; kubelet
// serves the registry. Start reading at [New].
package metrics
