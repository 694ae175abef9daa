// Package payload is the format of kedge's release files: a small program, the
// launcher, followed by the compressed real program and a trailer of fixed
// length that says what the payload is.
//
//	launcher | zstd frame of the program | trailer (80 bytes)
//
// The trailer is last so that a download that was cut has none and is known as
// incomplete at once. [Append] makes such a file, [Open] and [Payload.Unpack]
// read it. The package knows neither where programs are put nor how they are
// started: that is cmd/launcher.
package payload
