package finding

// Findings about names and about the way to the server.
const (
	ResolvConf     ID = "dns.resolv-conf"
	ResolverStub   ID = "dns.stub"
	ResolverMany   ID = "dns.too-many"
	SearchLong     ID = "dns.search"
	ResolverSilent ID = "dns.silent"
	Server         ID = "server.reach"
	ServerURL      ID = "server.url"
	ServerToken    ID = "server.token"
	ServerName     ID = "server.name"
	ServerDNS      ID = "server.dns-timeout"
	ServerRefused  ID = "server.refused"
	ServerTimeout  ID = "server.timeout"
	ServerNoRoute  ID = "server.no-route"
	ServerProxy    ID = "server.proxy"
	ServerNoTLS    ID = "server.no-tls"
	ServerBetween  ID = "server.between"
	ServerOther    ID = "server.not-kedge"
	ServerNotReady ID = "server.not-ready"
	ServerPin      ID = "server.pin"
	ServerExpired  ID = "server.expired"
	ServerNotYet   ID = "server.not-yet-valid"
	ServerCert     ID = "server.certificate"
	ServerClock    ID = "server.clock"
)

func way() []Entry {
	return []Entry{
		{ResolvConf, "resolvers of the host", "pods resolve names outside of the cluster through them, and so does kedge the server's",
			"names outside of the cluster are answered with SERVFAIL", "put nameserver lines into /etc/resolv.conf, or name another file with --resolv-conf"},
		{ResolverStub, "resolver on loopback", "pods with dnsPolicy Default get the host's file, and 127.0.0.1 is themselves there",
			"cluster DNS asks it from the host, so other pods are served; behind systemd-resolved's 127.0.0.53 the real resolvers are used", "name a file with resolvers of the network by --resolv-conf"},
		{ResolverMany, "number of resolvers", "kubelet and libc use three",
			"the others are not asked by pods with dnsPolicy Default", "leave the three best ones in resolv.conf"},
		{SearchLong, "search list", "kubelet adds three domains and cuts the list at 32 domains or 2048 characters",
			"domains at the end are dropped, with an event on each pod", "shorten the line search of resolv.conf"},
		{ResolverSilent, "resolvers answer", "names outside of the cluster wait for them",
			"names outside of the cluster fail slowly; those of the cluster are answered", "correct resolv.conf, or let DNS (UDP and TCP 53) through; a site without DNS can leave it"},
		{Server, "way to the server", "an agent needs nothing else",
			"", "see the finding"},
		{ServerURL, "URL of the server", "an agent joins there",
			"the agent does not start", "--server https://HOST:6443"},
		{ServerToken, "join token", "it proves the right to join and names the server's authority",
			"the agent does not join; one that has joined needs none", "kedge token create on the server, then --token-file or KEDGE_TOKEN"},
		{ServerName, "name of the server", "the server's name has no address",
			"the agent tries until --join-timeout, and after a join goes on with addresses that it knows", "correct --server, add the name to DNS or to /etc/hosts, or use an address"},
		{ServerDNS, "resolver for the server's name", "the resolvers do not answer, which is not the same as an unknown name",
			"as if there was no name", "correct resolv.conf or the network, or use the server's address in --server"},
		{ServerRefused, "the server's port is closed", "the machine answers, nobody listens on the port",
			"the agent tries on", "start the server, compare the port with its --https-listen-port, look for a firewall that rejects"},
		{ServerTimeout, "the server does not answer", "packets get lost on the way there or back",
			"the agent tries on", "see whether the machine runs; a firewall in between must let TCP to the server's port through"},
		{ServerNoRoute, "no route to the server", "this host or a router says that there is no way",
			"the agent tries on", "check routes and address of this host: ip route get ADDRESS"},
		{ServerProxy, "HTTP proxy on the way", "HTTPS_PROXY names a proxy, which must allow CONNECT to the server's port",
			"the agent tries on", "user and password in HTTPS_PROXY; have the proxy allow host and port; or name the host in NO_PROXY (docs/operations/proxies.md)"},
		{ServerNoTLS, "something else than TLS answers", "a captive portal, a plain HTTP server or another service has the port",
			"the agent tries on", "compare --server with the server's port; sign in at the portal"},
		{ServerBetween, "somebody in between ends TLS", "a load balancer or an inspecting firewall shows its own certificate",
			"where it forwards websockets to /v1-kedge/pipe kedge goes through it, encrypted end to end; else the agent cannot join", "let it forward /v1-kedge/pipe with the websocket upgrade (docs/operations/proxies.md), or pass TCP through"},
		{ServerOther, "no kedge server", "whoever answers does not know /cacerts",
			"the agent does not join", "compare --server with the server's address and port"},
		{ServerNotReady, "server is starting", "it answers with an error of its own",
			"the agent tries on", "wait; kedge status on the server"},
		{ServerPin, "server of another cluster", "the authority's key is not the one in the token: wrong server, token of another cluster, or somebody in between",
			"the agent does not join; nothing secret is sent", "make a token on that very server with kedge token create"},
		{ServerExpired, "expired certificate of the server", "both clocks agree that it is over",
			"agents refuse the connection", "on the server: kedge cert check, kedge cert rotate"},
		{ServerNotYet, "certificate of the server from the future", "both clocks agree that it does not count yet: the server's clock was wrong when it was made",
			"agents refuse the connection", "set the server's clock, then kedge cert rotate there"},
		{ServerCert, "certificate of the server", "it is not signed by the cluster's authority or not made for its service",
			"agents refuse the connection", "on the server: kedge cert check; add a name with --tls-san only where others than agents need it"},
		{ServerClock, "clock of this host against the server's", "certificates, tokens of pods and leases go by the clock",
			"kedge learns the server's time when it joins; times in logs are wrong until the clock is set", "enable time synchronisation on the machine whose clock is wrong"},
	}
}
