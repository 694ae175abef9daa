package finding

// Findings about the network of the host and of pods.
const (
	Links        ID = "kernel.links"
	NFTFeatures  ID = "kernel.nftables"
	IPTMatches   ID = "kernel.iptables"
	IPSets       ID = "kernel.ipset"
	Conntrack    ID = "kernel.conntrack"
	NFLog        ID = "kernel.nflog"
	SockDestroy  ID = "kernel.sock-destroy"
	TUN          ID = "kernel.tun"
	Shaping      ID = "kernel.shaping"
	Classifying  ID = "kernel.bpf"
	Address      ID = "network.address"
	Uplink       ID = "network.uplink"
	UplinkMTU    ID = "network.mtu"
	PortTaken    ID = "ports.taken"
	PortDNS      ID = "ports.dns"
	RangeOption  ID = "ranges.plan"
	RangeAddress ID = "ranges.address"
	RangeRoute   ID = "ranges.route"
	UFW          ID = "firewall.ufw"
	Firewalld    ID = "firewall.firewalld"
	DropInput    ID = "firewall.input"
	DropForward  ID = "firewall.forward"
	OtherKube    ID = "firewall.kube"
)

// letIn is how the usual firewalls let in what kedge needs.
const letIn = "let in everything from the links kedge0 and kedge-relay, forward what comes from and goes to the pods' range, and on a server let in TCP 6443"

func network() []Entry {
	return []Entry{
		{Links, "veth and bridge", "each pod is one end of a veth pair, the other is in the bridge kedge0",
			"pods get no network and stay ContainerCreating", "modprobe veth bridge; use a kernel with CONFIG_VETH and CONFIG_BRIDGE"},
		{NFTFeatures, "nftables in the kernel", "services, masquerading, host ports and the border to other sites are nftables rules",
			"the parts that need the feature stay starting or degraded: without sets, maps, nat and fib there are no services", "modprobe nf_tables nft_chain_nat nft_ct nft_masq nft_fib_inet nft_numgen nft_reject_inet; use a kernel with CONFIG_NF_TABLES_INET, CONFIG_NFT_NAT, CONFIG_NFT_FIB_INET and their like"},
		{IPTMatches, "matches and targets of iptables", "rules of the firewall and network policies use them",
			"no rule that needs the match is in force; the component firewall is degraded, the condition KedgeFirewall and the status of firewalls name it", "modprobe the module in the message (xt_set, xt_hashlimit, xt_connlimit, xt_NFLOG, ...); for the nft variant also nft_compat"},
		{IPSets, "ipset in the kernel", "addresses of rules are in sets of the kernel",
			"no rule of the firewall and no network policy is in force; all else of the node works", "modprobe ip_set ip_set_hash_net ip_set_hash_ip; use a kernel with CONFIG_IP_SET"},
		{Conntrack, "list of connections", "when a rule begins to forbid, connections that are open are ended through it",
			"connections that were open before a rule stay open", "modprobe nf_conntrack_netlink; use a kernel with CONFIG_NF_CT_NETLINK"},
		{NFLog, "log of rules", "what rules log or drop is read from there",
			"events and kedge firewall status lack what was dropped; rules hold", "modprobe nfnetlink_log; use a kernel with CONFIG_NETFILTER_NETLINK_LOG"},
		{SockDestroy, "ending sockets", "connections of the host itself are ended when a rule begins to forbid them",
			"those connections end by time-out", "use a kernel with CONFIG_INET_DIAG_DESTROY"},
		{TUN, "TUN device", "packets for pods of other sites leave through it",
			"pods of this node and of other sites do not reach each other; the node has the condition PodRelay", "modprobe tun, or pass /dev/net/tun into the container"},
		{Shaping, "IFB, HTB and clsact", "limits and guarantees of bandwidth are HTB trees on IFB devices",
			"bandwidth is neither limited nor guaranteed on this node; the condition KedgeBandwidth says so", "modprobe ifb numifbs=0; modprobe sch_htb sch_ingress cls_bpf act_mirred sch_tbf"},
		{Classifying, "BPF classifiers", "small programs tell whose packet it is",
			"as the finding says: from telling containers apart by their ports only, to no limits at all", "use a kernel of 5.2 or later with CONFIG_BPF_SYSCALL, CONFIG_NET_CLS_BPF and CONFIG_CGROUP_BPF"},
		{Address, "address of this host", "a node is reached by its neighbours under it, a server puts it into its certificate",
			"the start ends with an error", "bring a link up and give it an address, or set --node-ip"},
		{Uplink, "default route", "the server is usually reached through it, and its device is what bandwidth is shaped on",
			"only networks that have a route are reached; guarantees of bandwidth need --uplink", "give the host a default route, or name the device with --uplink"},
		{UplinkMTU, "MTU of the uplink", "below 1280 bytes IPv6 does not work and TLS handshakes are split",
			"pods get the same MTU; much goes slowly", "raise the MTU of the device"},
		{PortTaken, "ports", "parts of kedge listen on fixed ports, most of them on 127.0.0.1 only",
			"the start ends with an error", "stop the program that the finding names; a host can be a node of one cluster only"},
		{PortDNS, "port 53", "cluster DNS listens on one address of its own, which fails where another program has port 53 of all addresses",
			"the component dns stays starting: pods resolve no names", "let the other resolver listen on its own addresses only (dnsmasq: bind-dynamic or except-interface=lo; unbound: interface:)"},
		{RangeOption, "ranges of pods and services", "they are fixed with the first start",
			"the start ends with an error", "correct --cluster-cidr, --service-cidr and --cluster-dns"},
		{RangeAddress, "addresses of the host inside the cluster's ranges", "packets for them would go to pods or services",
			"the start of a server ends with an error; an agent cannot reach that network any more", "before the first start of the server choose other ranges with --cluster-cidr and --service-cidr"},
		{RangeRoute, "routes of the host inside the cluster's ranges", "a pod or service with such an address and a machine of that network cannot both be reached",
			"the cluster's own routes win where they are longer: the others lose those machines", "before the first start of the server choose other ranges with --cluster-cidr and --service-cidr; remove what another cluster has left"},
		{UFW, "ufw", "it drops what comes in and what is forwarded unless it is allowed",
			"kedge lets forwarded packets of pods pass in a chain of its own; pods do not reach DNS and API on this host, and a server's port stays closed", "ufw allow in on kedge0; ufw allow in on kedge-relay; on a server also ufw allow 6443/tcp"},
		{Firewalld, "firewalld", "it rejects what comes in and what is forwarded outside of its zones, in a table that others cannot overrule",
			"pods reach neither DNS nor other nodes, and a server's port stays closed", "firewall-cmd --permanent --zone=trusted --add-interface=kedge0 --add-interface=kedge-relay --add-source=10.42.0.0/16; on a server also firewall-cmd --permanent --add-port=6443/tcp; firewall-cmd --reload"},
		{DropInput, "foreign rules for what comes in", "a chain that drops by default must let in what kedge needs",
			"pods may not reach DNS and API on this host, and a server's port may stay closed", letIn},
		{DropForward, "foreign rules for what is forwarded", "pods' packets are forwarded by the host",
			"where iptables drops by default kedge adds the chain KEDGE-FORWARD; it cannot overrule a table of nftables that drops", letIn},
		{OtherKube, "another Kubernetes on this host", "rules and links of another kube-proxy or network plugin catch the same addresses",
			"services and pods are reached by chance", "remove the other cluster with its own script (k3s-uninstall.sh, kubeadm reset), then reboot"},
	}
}
