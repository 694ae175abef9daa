// Package scripts holds what the program carries of this folder.
package scripts

import "embed"

// Install is the install script as the release has it. A server that hands it
// out fills in its own URL and pin (see server/distfiles).
//
//go:embed install.sh
var Install []byte

// Service are the files that start and remove kedge on a host, by their kind in
// the folder service. The command "kedge unit" fills in what stands between
// signs @.
//
//go:embed service/*
var Service embed.FS
