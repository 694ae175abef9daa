// Command s3 is the S3 server that tests of snapshots use: rclone's, on a folder
// of this machine. It is a module of its own, so that nothing of it is in kedge.
//
//	s3 serve s3 FOLDER --addr 127.0.0.1:PORT --auth-key ID,SECRET
package main

import (
	_ "github.com/rclone/rclone/backend/local"
	"github.com/rclone/rclone/cmd"
	_ "github.com/rclone/rclone/cmd/serve/s3"
)

func main() { cmd.Main() }
