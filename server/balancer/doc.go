// Package balancer gives services of type LoadBalancer the addresses of nodes:
// that is how an edge cluster offers services to the outside, where there is no
// cloud to ask. It writes status.loadBalancer of services, from which kube-proxy
// on every node makes rules, and says which ports of which nodes the edge
// firewall has to open ([Balancer.Balanced]).
//
// What is decided, and for which nodes, is in assign.go, which is pure; nothing
// in here touches a node. Start reading at [New] and assign.
package balancer
