// Package registries owns the node's settings for container registries: the file
// registries.yaml, in the format of k3s, and what it means for containerd.
//
// The file is read again whenever it changes. What containerd can do itself
// (mirrors and TLS) becomes a hosts.toml for each registry, which containerd reads
// at every pull. What it cannot (rewrites, and passwords that are not those of a
// pod) goes through a [proxy] on loopback inside the daemon; hosts.toml leads
// there. Nothing is restarted.
//
// Invariants: a file that is wrong in any way changes nothing, and the settings
// that were in force stay in force, after a restart too; folders of certs.d that
// somebody else made are never touched; secrets are in no log, error or status;
// nobody without the key, which only root can read, gets anything from the proxy.
//
// The package knows containerd's file format and not containerd. Start reading at
// [Parse], then [makePlan] and [New]. The decisions are in
// docs/adr/0038-registry-settings.md.
package registries
