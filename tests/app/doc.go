// Command app is what the scenarios run in their pods: one static program that
// is a small HTTP server and, called by other names, the few tools that
// kubectl needs inside a container.
//
//	app [-listen :8080] [-more :1,:2] [-dir /data]   serve (the default)
//	echo                               answer each line of standard input
//	sleep                              do nothing until a signal comes
//	fill FILE BYTES                    write a reproducible file
//	sum FILE                           print its SHA-256
//	get URL                            print the body of an HTTP response
//	tar, test                          what kubectl cp calls
//	apis [-listen :8443] [-cert F]     serve a webhook (/validate) and an API over TLS
//	burn                               use a twentieth of a processor
//	shout ADDRESS...                   send datagrams from the first moment on
//
// The server answers
//
//	/               "ok"
//	/hostname       the name of the pod
//	/bytes/N        N reproducible bytes, their SHA-256 in the header X-Sum
//	/dns?name=N     the addresses of N
//	/get?url=U      the body behind U, fetched from inside the pod
//	POST /count     adds one to a counter on disk, synced before the answer
//	GET /count      the counter
//	/instance       a number that is new with every start of the program
//	/log?line=L     prints L to standard output
//	/peer           the address that the request came from
//	POST /sink      the number and SHA-256 of the bytes that came
//	POST /checks    runs a list of checks from inside the pod, see check.go
//
// and returns datagrams to their senders on the same port.
//
// It uses the standard library only.
package main
