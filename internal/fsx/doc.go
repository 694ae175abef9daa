// Package fsx holds the two file operations on which the daemon's safety
// rests: replacing a file so that a crash leaves the old or the new one, and
// holding a directory so that no second daemon uses it. Start at [WriteFile].
package fsx
