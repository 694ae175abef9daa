// Package network is the pod network of one node.
//
// It owns the bridge kedge0, the nftables table inet kedge-net, the routes of
// protocol [RouteProtocol], the rule that leads probes to their own table, the
// iptables chain KEDGE-FORWARD (only on hosts whose FORWARD policy is DROP) and
// the CNI configuration 10-kedge.conflist. It must not touch rules, routes and
// links of anybody else, and it must not know how traffic crosses NAT: the pods
// of a node that has proven to be near (agent/network/probe) have a route by its
// address in the site, all others go to the device [RelayName] while that is up,
// and below lies an unreachable route, so that pod addresses never leave by the
// default route.
//
// The work follows model, plan, apply, observe: [Facts] are what is known of
// the node and its peers, [NewPlan] turns them into a value without I/O, a
// kernel applies the plan and reads it back.
//
// Pods of one node are isolated ports of the bridge and reach each other
// through the host, which answers ARP for them (proxy_arp_pvlan). So replies
// of a Service's endpoint on the same node pass the host again and are
// translated back without br_netfilter, whose switch is global to the host and
// whose module edge kernels often lack. Where something else of the host, such
// as Docker, has switched it on, it bridges translated frames from port to port,
// which isolation would drop: there the ports are ordinary ones with hairpin.
// The switch is looked at with everything else, and running pods follow it; when
// it goes off under running pods, their ARP caches need up to a minute.
//
// IPv4 only. Everything stays in place when the process ends, is adopted at the
// next start, and [RemoveAll] takes it away without running state. Start
// reading in plan.go.
package network
