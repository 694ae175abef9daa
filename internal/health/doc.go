// Package health tells others how a daemon is doing: over HTTP on a unix socket
// (and, when asked, a loopback TCP address), to systemd, and to kedge status,
// whose client and table are here too so that both ends change together.
//
// The daemon hands in a Source; the package keeps no state of its own, starts
// nothing and judges only what the words mean: a daemon is ready when every
// component is ready, and healthy as long as none has failed. Conditions
// describe the host or the daemon ("cgroup v1: adapted") and never change
// either verdict.
//
// Paths: /healthz and /readyz answer 200 or 503 with plain text that lists what
// is missing; /status answers a Report as JSON; parts of the daemon answer below
// paths of their own, at the socket only. The socket is for root only and
// is removed when serving ends. Start reading at Report, then Listen.
package health
