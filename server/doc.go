// Package server composes the control plane of one machine: certificates,
// datastore, API server, controllers, scheduler, what the cluster ships, the
// API that nodes join through and the hub that reaches them.
//
// It decides who needs whom and hands values on; every part's meaning lies in
// its own package below. It never imports the agent: an all-in-one node is two
// lists of components in one group, put together by the command. Start reading
// at [New].
package server
