// Package sources turns what people wrote into values of edgefw/model: it
// translates EdgeFirewall objects ([Firewall]) and keeps the content of
// AddressSets ([Sources]) from their three sources, the object itself, a
// ConfigMap and a list that it fetches by https.
//
// A source that cannot be read never empties a set: what it had before counts
// on, also over a restart of the server (a copy is below the directory of
// [Config]), and the status of the AddressSet says so. Nothing else in here
// writes to the API, and nothing knows of nodes.
//
// Start reading at [Firewall] and [Sources.Run]; one goroutine looks after one set
// (keeper.go).
package sources
