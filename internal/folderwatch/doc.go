// Package folderwatch tells when something in a folder changes.
//
// Hosts give each user few inotify instances, often 128, and containerd,
// kubelet and pods take theirs out of the same number. Where none is left, a
// [Watcher] looks at its folders every few seconds and says so in
// [Watcher.Fault]; it stays with that until it is closed.
//
// Invariants: a watcher never fails; a change is told at least once after it
// happened; changes that nobody took yet are told once. Subfolders are folders
// of their own.
//
// Start reading at [New].
package folderwatch
