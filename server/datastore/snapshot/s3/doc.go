// Package s3 keeps copies of snapshots in a bucket of an S3-compatible server. It
// is the only user of minio-go.
//
// A copy is an object FOLDER/FILE with the name and the bytes of the local file.
// Large ones go up in parts that are tried again one by one when a connection is
// cut; an upload that is given up, or that a killed process began, is removed from
// the server. What is listed is judged as local files are: by the trailer and the
// manifest, of which a few kilobytes are fetched.
//
// Invariants: without being asked to, nothing is sent without TLS, and no
// certificate is accepted that does not verify; keys are never logged; every call
// is bounded by [Config.Timeout] or by progress.
//
// Start reading at [New].
package s3
