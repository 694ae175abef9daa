// Package proxies runs the two kinds of proxy that stand between an edge site
// and its server on hosts of a laboratory: one that hands bytes through after a
// CONNECT, and one that ends TLS, reads the requests and makes them again.
//
// They run in the test's own process and use the host's network only. Both count
// what they carried, so that a test can tell that the traffic took this way.
package proxies
