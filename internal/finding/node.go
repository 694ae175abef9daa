package finding

// Findings about a running node, for kedge doctor.
const (
	Daemon       ID = "node.daemon"
	Component    ID = "node.component"
	Degraded     ID = "node.degraded"
	Condition    ID = "node.condition"
	NodeVersion  ID = "node.version"
	LinkDown     ID = "link.down"
	LinkLane     ID = "link.lanes"
	LinkSlow     ID = "link.flapping"
	StoreSize    ID = "datastore.size"
	StoreWAL     ID = "datastore.wal"
	StoreFree    ID = "datastore.free-pages"
	StoreCompact ID = "datastore.compaction"
	StoreAsk     ID = "datastore.stat"
	CertExpired  ID = "certificates.expired"
	CertSoon     ID = "certificates.soon"
	CertAsk      ID = "certificates.read"
	SnapshotAge  ID = "snapshots.age"
	SnapshotNone ID = "snapshots.none"
	SnapshotAsk  ID = "snapshots.list"
)

func node() []Entry {
	return []Entry{
		{Daemon, "daemon", "without it pods run on, but nothing looks after them",
			"no API, no DNS, no changes", "systemctl start kedge, then its log: journalctl -u kedge"},
		{Component, "components", "a component that is not ready does not do its work",
			"see ARCHITECTURE.md, what still works when something is gone", "the tables of docs/operations/troubleshooting.md by the component's name; kedge status"},
		{Degraded, "degraded components", "it runs, and the trouble in its last error lasts",
			"as the error says", "the table of degraded components in docs/operations/troubleshooting.md"},
		{Condition, "conditions", "kedge works around what the host lacks",
			"as the condition says", "kedge check"},
		{NodeVersion, "program on disk and in memory", "an upgrade counts from the next start",
			"the former version runs on", "systemctl restart kedge"},
		{LinkDown, "links", "everything between server and node goes through it",
			"logs, exec, metrics, webhooks and pods of other sites; the node's pods run on", "docs/operations/link.md has the reasons one by one"},
		{LinkLane, "lanes of links", "copies and shells have connections of their own",
			"all goes over the control connection: a copy delays shells", "something on the way allows one connection only"},
		{LinkSlow, "links that come and go", "each new session breaks what was open",
			"shells and copies end early", "kedge link status NODE says why sessions ended"},
		{StoreSize, "size of the database", "all of it is read at a snapshot and checked at a start",
			"starts and snapshots take longer", "find out what writes so much: kedge datastore stat"},
		{StoreWAL, "write-ahead log", "it is folded into the database by checkpoints, which long readers hold up",
			"it grows until the disk is full", "restart kedge; if it comes back, report it with kedge support-bundle"},
		{StoreFree, "free pages", "deleted objects leave pages that are used again and not given back",
			"the file stays larger than its content", "kedge datastore compact"},
		{StoreCompact, "compaction", "former revisions are kept until they are compacted",
			"the database grows", "see datastore in kedge status; kedge datastore compact"},
		{StoreAsk, "figures of the datastore", "they could not be had",
			"nothing is known of its size and compaction", "kedge status; kedge datastore stat"},
		{CertExpired, "expired certificates", "whoever is shown one hangs up",
			"renewed by the running daemon; an agent past --certificate-grace must join again", "kedge cert check, kedge cert rotate; see whether the clock is right"},
		{CertSoon, "certificates near their end", "the daemon should have renewed them by now",
			"they expire", "kedge cert check; the component certs or enroll in kedge status says why they were not renewed"},
		{CertAsk, "certificate files", "one could not be read",
			"the part that shows it does not start", "docs/operations/certificates.md"},
		{SnapshotAge, "age of the last good snapshot", "what came after it is lost with the disk",
			"nothing", "the component snapshots in kedge status; kedge snapshot save"},
		{SnapshotNone, "snapshots", "without one a broken disk is the end of the cluster",
			"nothing", "kedge snapshot save; keep one, and the recovery token, on another machine"},
		{SnapshotAsk, "list of snapshots", "it could not be read",
			"nothing is known of backups", "look at the folder or the bucket that the finding names"},
	}
}
