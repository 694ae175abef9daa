// Command traffic is what the scenarios and the benchmark of bandwidth run in
// containers and on hosts: it makes traffic to another traffic, measures it at the
// end where it arrives, and is told what to do over HTTP.
//
//	traffic [-control :9000] [-data :9001]
//
// One that runs answers
//
//	POST /run     a flow.Job, with the flow.Result when it is done
//	POST /iperf3  arguments of iperf3 (a JSON list), with what it prints
//	GET /         "ok"
//
// and is the far end of others' jobs at its data port, TCP and UDP. It is one
// static program; iperf3 is there only in the image that
// tests/traffic/bed packs.
//
// What flows and how it is counted is in tests/traffic/flow.
package main
