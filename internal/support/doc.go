// Package support makes the file of kedge support-bundle: parts of text in one
// archive, bounded in size, from which secrets are taken out.
//
// Secrets leave in three ways, each enough for most: by not being collected
// ([Objects] takes only the fields of API objects that it names, and files with keys
// are never parts), by shape ([Redactor] knows what keys, tokens, passwords in URLs
// and values with telling names look like), and by value (what [Redactor.Learn] was
// told of, from the files and the environment of this host, is replaced wherever it
// appears, base64 and URL forms included).
//
// Invariants: nothing gets into the archive but through the redactor; a part that
// cannot be had is noted in the archive and stops nothing; the whole is bounded.
//
// Start reading at [Archive].
package support
